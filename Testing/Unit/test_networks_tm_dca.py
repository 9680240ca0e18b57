from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from MedAILib import networks
from MedAILib.errors import ModelError
from MedAILib.geometry import Shape
from MedAILib.networks.cross_attention import DeformableCrossAttention, join_windows, split_windows
from MedAILib.networks.tm_dca import FULL, SMALL, TMDCA, DropPath, Merge
from MedAILib.registration.losses import folds

TINY = {"channels": 8, "depths": [2, 2], "heads": [2, 2], "kernels": [3, 3], "window": [2, 2, 2], "head_channels": 4}
GRID, WINDOW, HEADS, CHANNELS = (4, 6, 4), (2, 3, 2), 2, 8


@pytest.fixture
def attention() -> DeformableCrossAttention:
    torch.manual_seed(0)
    module = DeformableCrossAttention(CHANNELS, HEADS, WINDOW, 3)
    nn.init.normal_(module.bias)
    return module


def tokens(seed: int, grid: Shape = GRID) -> torch.Tensor:
    return torch.randn(1, *grid, CHANNELS, generator=torch.Generator().manual_seed(seed))


def no_offsets(grid: Shape = GRID) -> torch.Tensor:
    return torch.zeros(1, HEADS, 3, *grid)


def plain(module: DeformableCrossAttention, base: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Windowed cross-attention of Eq. 1, window by window and head by head; windows at the end may be cut."""
    result = torch.zeros_like(base)
    size = CHANNELS // HEADS
    position = torch.stack(torch.meshgrid(*(torch.arange(side) for side in WINDOW), indexing="ij"), -1)
    for start in itertools.product(*(range(0, n, side) for n, side in zip(base.shape[1:4], WINDOW, strict=True))):
        box = (0, *(slice(at, at + side) for at, side in zip(start, WINDOW, strict=True)))
        inside = base[box].shape[:3]
        place = position[tuple(slice(0, n) for n in inside)].reshape(-1, 3)
        b, r = base[box].reshape(-1, CHANNELS), reference[box].reshape(-1, CHANNELS)
        (keys, values), queries = (b @ module.key_value.weight.T).chunk(2, -1), r @ module.query.weight.T
        away = place[:, None] - place[None] + torch.tensor(WINDOW) - 1
        row = (away[..., 0] * (2 * WINDOW[1] - 1) + away[..., 1]) * (2 * WINDOW[2] - 1) + away[..., 2]
        parts = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            score = queries[:, part] @ keys[:, part].T / math.sqrt(size) + module.bias[row, head]
            parts.append(score.softmax(-1) @ values[:, part])
        result[box] = module.project(torch.cat(parts, -1)).reshape(*inside, CHANNELS)
    return result


@torch.no_grad()
def test_without_offsets_it_is_plain_windowed_cross_attention(attention: DeformableCrossAttention) -> None:
    base, reference = tokens(1), tokens(2)
    expected = plain(attention, base, reference)
    assert torch.allclose(attention(base, reference, offsets=no_offsets()), expected, atol=1e-5)


@torch.no_grad()
def test_windows_that_do_not_fill_the_grid_see_no_padding(attention: DeformableCrossAttention) -> None:
    grid = (3, 5, 5)
    base, reference = tokens(1, grid), tokens(2, grid)
    expected = plain(attention, base, reference)
    assert torch.allclose(attention(base, reference, offsets=no_offsets(grid)), expected, atol=1e-5)


@torch.no_grad()
def test_a_constant_integer_offset_is_attention_with_a_rolled_reference(attention: DeformableCrossAttention) -> None:
    base, reference = tokens(1), tokens(2)
    offsets = no_offsets()
    offsets[:, :, 0], offsets[:, :, 1] = 2.0, -3.0
    expected = plain(attention, base, reference.roll((-2, 3), (1, 2)))
    found = attention(base, reference, offsets=offsets)
    assert torch.allclose(found[:, :2, 3:], expected[:, :2, 3:], atol=1e-5)  # where nothing came from the other end


@torch.no_grad()
def test_each_head_looks_where_its_own_offsets_point(attention: DeformableCrossAttention) -> None:
    attention.project = nn.Identity()  # type: ignore[assignment]
    base, reference = tokens(1), tokens(2)
    offsets = no_offsets()
    offsets[:, 1, 2] = 1.0
    before, after = attention(base, reference, offsets=no_offsets()), attention(base, reference, offsets=offsets)
    assert torch.equal(before[..., :4], after[..., :4])
    assert not torch.allclose(before[..., 4:], after[..., 4:])


@torch.no_grad()
def test_offsets_reach_beyond_the_window(attention: DeformableCrossAttention) -> None:
    base, reference, other = tokens(1), tokens(2), tokens(2)
    other[:, 3] += 1.0  # two windows away from row 0
    near, far = no_offsets(), no_offsets()
    far[:, :, 0] = 3.0
    assert torch.equal(attention(base, reference, offsets=near)[:, 0], attention(base, other, offsets=near)[:, 0])
    assert not torch.allclose(attention(base, reference, offsets=far)[:, 0], attention(base, other, offsets=far)[:, 0])


@torch.no_grad()
def test_heads_are_given_offsets_of_their_own_from_the_sum_of_both_images(
    attention: DeformableCrossAttention,
) -> None:
    nn.init.normal_(attention.offsets.regular.weight)
    base, reference = tokens(1), tokens(2)
    offsets = attention.offsets(base + reference)
    assert offsets.shape == (1, HEADS, 3, *GRID)
    assert not torch.allclose(offsets[:, 0], offsets[:, 1])
    assert all(float(offsets[:, :, axis].abs().max()) <= n / 2 for axis, n in enumerate(GRID))
    explicit = attention(base, reference, offsets=offsets)
    assert torch.equal(attention(base, reference), explicit)


@torch.no_grad()
def test_shifted_windows_are_windows_of_the_shifted_grid(attention: DeformableCrossAttention) -> None:
    """Away from the ends, where windows are cut, a shift by half a window is plain attention on a cropped grid."""
    base, reference = tokens(1), tokens(2)
    found = attention(base, reference, shifted=True, offsets=no_offsets())
    cropped = plain(attention, base[:, 1:3, 1:4, 1:3], reference[:, 1:3, 1:4, 1:3])
    assert torch.allclose(found[:, 1:3, 1:4, 1:3], cropped, atol=1e-5)
    other = base.clone()
    other[:, -1] += 1.0
    changed = attention(other, reference, shifted=True, offsets=no_offsets())
    assert torch.allclose(found[:, 0], changed[:, 0], atol=1e-6), "the two ends of the grid do not see each other"


def test_windows_are_put_back_where_they_were() -> None:
    x = tokens(3)
    assert torch.equal(join_windows(split_windows(x, WINDOW), WINDOW, GRID), x)


def test_merging_halves_the_grid_and_doubles_the_width() -> None:
    assert Merge(8)(tokens(1)).shape == (1, 2, 3, 2, 16)


def test_left_out_branches_keep_their_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.3)
    x = torch.ones(4000, 2)
    assert float(drop(x).mean()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(x), x)


def network(**changes: object) -> TMDCA:
    torch.manual_seed(0)
    built = networks.build("tm_dca", {**TINY, **changes})
    assert isinstance(built, TMDCA)
    return built


def test_it_begins_with_hardly_any_displacement_and_every_weight_learns() -> None:
    one = network()
    moving, fixed = torch.rand(2, 1, 16, 8, 24), torch.rand(2, 1, 16, 8, 24)
    displacement = one(moving, fixed)
    assert displacement.shape == (2, 3, 16, 8, 24)
    assert float(displacement.detach().abs().max()) < 0.01
    displacement.square().sum().backward()
    assert [name for name, p in one.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_both_images_count() -> None:
    one = network().eval()
    nn.init.normal_(one.head.weight)
    moving, fixed = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16)
    displacement = one(moving, fixed)
    assert not torch.allclose(displacement, one(fixed, moving))
    assert not torch.allclose(displacement, one(moving, moving))


@torch.no_grad()
def test_an_integrated_velocity_folds_nothing() -> None:
    one = network(squarings=6).eval()
    nn.init.normal_(one.head.weight, std=0.05)
    displacement = one(torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    assert float(displacement.abs().max()) > 0.05
    assert folds(displacement) == 0


def test_full_and_small_size_differ_in_width_only() -> None:
    with torch.device("meta"):
        full, small = TMDCA(**FULL), TMDCA(**SMALL)
    assert full.multiple == small.multiple == 16
    counts = [sum(p.numel() for p in one.parameters()) for one in (full, small)]
    assert 3.5 < counts[0] / counts[1] < 4.5


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="as many heads"):
        networks.build("tm_dca", {**TINY, "heads": [2]})
