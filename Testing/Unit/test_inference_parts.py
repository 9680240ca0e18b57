"""Windows, head, devices, precision and the coarse first pass, each for itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import nn

from MedAILib.errors import DeviceError
from MedAILib.inference import precision
from MedAILib.inference.coarse import occupied_region
from MedAILib.inference.devices import choose, describe
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.inference.head import split
from MedAILib.inference.memory import free_bytes, free_host_bytes
from MedAILib.inference.output import AxisTable
from MedAILib.inference.slab import Slab
from MedAILib.inference.windows import WindowGrid, window_starts, window_weights


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 200), patch=st.integers(1, 64), overlap=st.floats(0, 0.95), sigma=st.floats(0.02, 1))
def test_windows_cover_every_voxel_and_their_weights_add_up_to_one(size, patch, overlap, sigma):
    starts = window_starts(size, patch, overlap)
    weights = window_weights(starts, size, patch, sigma)
    total = np.zeros(size)
    for start, row in zip(starts, weights, strict=True):
        low, high = max(start, 0), min(start + patch, size)
        total[low:high] += row[low - start : high - start]
        assert not row[: low - start].any()
        assert not row[high - start :].any()
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert starts == sorted(starts)
    assert size <= patch or (starts[0], starts[-1]) == (0, size - patch)


def test_windows_overlap_at_least_as_much_as_asked_for():
    starts = window_starts(100, 32, 0.5)
    assert max(np.diff(starts)) <= 16
    assert window_starts(96, 32, 0.0) == [0, 32, 64]


def test_the_longest_axis_is_streamed_because_its_cross_section_is_smallest():
    assert WindowGrid.lay((60, 80, 300), WindowOptions((32, 32, 32))).order == (2, 0, 1)
    assert WindowGrid.lay((300, 80, 60), WindowOptions((32, 32, 32))).order == (0, 1, 2)


def test_the_accumulator_does_not_grow_with_the_length_of_the_volume_nor_with_the_classes(monkeypatch):
    sizes = []
    create = Slab.__init__

    def recorded(self, *arguments, **others):
        create(self, *arguments, **others)
        sizes.append(self.values.numel())

    monkeypatch.setattr(Slab, "__init__", recorded)
    for length, classes in ((40, 5), (120, 5), (40, 60)):
        network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, classes, 1))
        predict_labels(network, np.ones((1, length, 20, 20), np.float32), WindowOptions((16, 16, 16)), "cpu")
    assert sizes[0] == sizes[1] == sizes[2] == 17 * 20 * 20 * 4


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.widen, self.same = nn.Conv3d(1, 5, 3, padding=1), nn.Conv3d(5, 5, 1)

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        return self.same(self.same(self.widen(patch)))


class Supervised(nn.Module):
    """Gives a coarse output beside the full one, each with its own head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.main, self.side = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 9, 1), nn.Conv3d(4, 9, 1)

    def forward(self, patch: torch.Tensor) -> list[torch.Tensor]:
        features = self.body(patch)
        return [self.main(features), self.side(features[..., ::2, ::2, ::2])]


def sequential(*last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), *last)


@pytest.mark.parametrize(
    ("network", "width"),
    [
        (sequential(nn.Conv3d(4, 9, 1)), 4),
        (sequential(nn.Conv3d(4, 9, 1, bias=False)), 4),
        (sequential(nn.Conv3d(4, 9, 1), nn.Dropout(0.5)), 4),
        (Supervised(), 4),
        (sequential(nn.Conv3d(4, 3, 1)), 3),
        (sequential(nn.Conv3d(4, 9, 1), nn.ReLU()), 9),
        (sequential(nn.Conv3d(4, 9, 1), nn.ReLU(inplace=True)), 9),
        (sequential(nn.Conv3d(4, 9, 1), nn.Softmax(1)), 9),
        (sequential(nn.Conv3d(4, 9, 3, padding=1)), 9),
        (sequential(nn.Conv3d(4, 12, 1, groups=2)), 12),
        (Reused(), 5),
    ],
)
def test_the_head_is_split_off_only_where_that_is_exact_and_narrower(network, width):
    network.eval()
    patch = torch.randn(1, 1, 8, 8, 8)
    with torch.inference_mode():
        parts = split(network, patch)
        output = network(patch)
        output = output[0] if isinstance(output, list) else output
        body = parts.body(patch)
    assert parts.width == body.shape[1] == width
    assert parts.classes == output.shape[1]
    if parts.weight is not None:
        bias = 0 if parts.bias is None else parts.bias
        body = (body.movedim(1, -1) @ parts.weight + bias).movedim(-1, 1)
    torch.testing.assert_close(body, output)


def test_looking_at_a_network_leaves_no_hook_on_it():
    network = sequential(nn.Conv3d(4, 9, 1)).eval()
    with torch.inference_mode():
        split(network, torch.randn(1, 1, 8, 8, 8)).body(torch.randn(1, 1, 8, 8, 8))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_map_with_rounding_errors_still_copies_voxels():
    table = AxisTable.build(10, (1.0 + 1e-8, -1e-7), 10)
    assert table.aligned
    assert table.low.tolist() == list(range(10))


def test_the_processor_is_always_among_the_devices_and_has_free_memory():
    devices = describe()
    assert devices[-1].name == "cpu"
    assert devices[-1].free_bytes > 0
    assert devices[-1].title
    assert choose("cpu").torch == torch.device("cpu")
    assert choose("auto").name == devices[0].name


@pytest.mark.parametrize("name", ["cuda:97", "xpu", ""])
def test_a_device_that_is_not_there_is_answered_with_those_that_are(name):
    with pytest.raises(DeviceError, match="cpu"):
        choose(name)


def test_free_memory_is_told_in_bytes():
    assert 1 << 20 < free_host_bytes() < 1 << 46
    assert free_bytes(torch.device("cpu")) > 0


def test_automatic_precision_follows_the_self_test_on_processors(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(precision, "cpu_gains_from_bfloat16", lambda: True)
    assert precision.choose_precision("auto", cpu) == "bfloat16"
    assert precision.choose_precision("float32", cpu) == "float32"
    monkeypatch.setattr(precision, "cpu_gains_from_bfloat16", lambda: False)
    assert precision.choose_precision("auto", cpu) == "float32"
    assert precision.choose_precision("float16", cpu) == "float32"
    assert precision.choose_precision("auto", torch.device("cuda:0")) == "float16"
    assert precision.choose_precision("bfloat16", torch.device("mps")) == "float32"


def test_the_self_test_answers_once_per_process():
    assert precision.cpu_gains_from_bfloat16() is precision.cpu_gains_from_bfloat16()
    assert precision.cpu_gains_from_bfloat16.cache_info().misses <= 1


class Bright(nn.Module):
    """Class 1 where a voxel is above one half."""

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.full_like(patch, 0.5), patch], 1)


def test_the_coarse_pass_boxes_what_it_sees_with_a_margin():
    volume = np.zeros((1, 41, 40, 40), np.float32)
    volume[:, 10:20, 4:12, 30:40] = 1
    volume[:, 40, 6, 36] = 1
    region = occupied_region(Bright(), volume, WindowOptions((8, 8, 8), precision="float32"), "cpu", 2, 3)
    assert region == (slice(7, 23), slice(1, 15), slice(27, 40))
    assert occupied_region(Bright(), volume * 0, WindowOptions((8, 8, 8)), "cpu") is None


def test_all_voxels_of_a_window_may_count_alike() -> None:
    weights = window_weights([0, 4], 12, 8, 0.125, "uniform")
    assert weights[0].tolist() == [1.0] * 4 + [0.5] * 4


def test_nnunet_s_weights_are_those_of_its_gaussian() -> None:
    delta = np.zeros(16)
    delta[8] = 1.0
    gaussian = gaussian_filter(delta, 2.0, mode="constant")
    expected = gaussian[8:] / (gaussian[8:] + gaussian[:8])
    weights = window_weights([0, 8], 24, 16, 0.125, "nnunet")
    np.testing.assert_allclose(weights[0, 8:], expected, atol=1e-6)


def test_monai_s_windows_follow_step_by_step_and_the_last_ends_with_the_volume() -> None:
    assert window_starts(21, 8, 0.5, even=False) == [0, 4, 8, 12, 13]
    assert window_starts(16, 8, 0.5, even=False) == [0, 4, 8]
    assert window_starts(5, 8, 0.5, even=False) == [-1]


class Position(nn.Module):
    """Class logits that differ from window to window: where in the window a voxel lies."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramps = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in x.shape[2:]), indexing="ij")
        return torch.stack([(2 * ramps[0]).sin() + ramps[1], ramps[2] * x[0, 0], ramps[1] - ramps[2]])[None]


def test_monai_s_gaussian_has_a_floor_that_is_that_of_the_product_of_the_axes() -> None:
    shape, patch = (20, 14, 11), (8, 8, 8)
    volume = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    line = np.exp(-0.5 * ((np.arange(8) - 3.5) / 1.0) ** 2)
    weights = np.maximum(line[:, None, None] * line[:, None] * line, 1e-3)
    total, norm = np.zeros((3, *shape)), np.zeros(shape)
    for start in itertools.product(*(window_starts(size, 8, 0.5, even=False) for size in shape)):
        at = tuple(slice(begin, begin + 8) for begin in start)
        total[(slice(None), *at)] += weights * Position()(torch.from_numpy(volume[(slice(None), *at)])[None])[0].numpy()
        norm[at] += weights
    options = WindowOptions(patch, 0.5, precision="float32", weighting="monai")
    assert (predict_labels(Position(), volume, options, "cpu").labels == (total / norm).argmax(0)).all()
