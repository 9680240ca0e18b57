"""The engine's labels against a plain reference that keeps every logit of the whole volume in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.errors import Cancelled, ModelError, UsageError
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.inference.output import IDENTITY
from MedAILib.inference.windows import WindowGrid

CENTERED_DOUBLE = ((0.5, -0.25),) * 3


class Declared(nn.Module):
    """Declares its parts as MedAILib's networks do."""

    def __init__(self, classes: int = 7, width: int = 4, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(channels, width, 3, padding=1), nn.LeakyReLU(), nn.Conv3d(width, width, 3, padding=1)
        )
        self.head = nn.Conv3d(width, classes, 1)

    def features(self, patch: torch.Tensor) -> torch.Tensor:
        return self.body(patch)

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(patch))


class Discovered(Declared):
    """Ends in a 1x1x1 convolution without saying so."""

    def __init__(self, classes: int = 7, width: int = 4, channels: int = 1) -> None:
        super().__init__(classes, width, channels)
        self.last, self.features = self.head, None
        del self.head

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        return self.last(self.body(patch))


class Headless(Declared):
    """Ends in something else."""

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        return torch.softmax(super().forward(patch), 1)


def make(kind: type[Declared] = Declared, classes: int = 7, width: int = 4, channels: int = 1) -> Declared:
    torch.manual_seed(classes)
    network = kind(classes, width, channels)
    for parameter in network.parameters():
        # Large weights: many classes win somewhere, and no two logits are nearly equal everywhere.
        nn.init.normal_(parameter, std=0.5)
    return network


def smooth(shape: tuple[int, ...], channels: int = 1, seed: int = 0) -> np.ndarray:
    """Structures a few voxels wide."""
    noise = torch.randn(
        1, channels, *(max(2, size // 3) for size in shape), generator=torch.Generator().manual_seed(seed)
    )
    return nn.functional.interpolate(noise, shape, mode="trilinear")[0].numpy() * 3


def reference_logits(network: nn.Module, volume: np.ndarray, options: WindowOptions) -> np.ndarray:
    """(classes, k, j, i), nan where no window ran: every weighted logit summed in float64, then divided."""
    shape = volume.shape[1:]
    before = [max(0, (size - length) // 2) for size, length in zip(options.patch, shape, strict=True)]
    padded_shape = [max(size, length) for size, length in zip(options.patch, shape, strict=True)]
    padded = np.full((volume.shape[0], *padded_shape), options.pad_value, np.float32)
    inner = tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))
    padded[(slice(None), *inner)] = volume
    profile = [np.exp(-0.5 * ((np.arange(p) - (p - 1) / 2) / (p * options.gaussian_sigma)) ** 2) for p in options.patch]
    gaussian = profile[0][:, None, None] * profile[1][:, None] * profile[2]
    double = network.double()
    total, norm = 0.0, np.zeros(padded_shape)
    grid = WindowGrid.lay(shape, options)
    for k in grid.axes[0].starts:
        for j in grid.axes[1].starts:
            for i in grid.axes[2].starts:
                at = tuple(slice(s + b, s + b + p) for s, b, p in zip((k, j, i), before, options.patch, strict=True))
                patch = padded[(slice(None), *at)]
                if options.skip_background is not None and patch.max() <= options.skip_background:
                    continue
                with torch.inference_mode():
                    logits = double(torch.from_numpy(patch).double()[None])[0].numpy()
                if isinstance(total, float):
                    total = np.zeros((len(logits), *padded_shape))
                total[(slice(None), *at)] += logits * gaussian
                norm[at] += gaussian
    network.float()
    with np.errstate(invalid="ignore"):
        return (total / np.where(norm > 0, norm, np.nan))[(slice(None), *inner)]


def reference_labels(logits: np.ndarray, shape=None, mapping=IDENTITY) -> np.ndarray:
    """Argmax of trilinearly interpolated logits."""
    from scipy.ndimage import map_coordinates

    shape = shape or logits.shape[1:]
    places = [scale * np.arange(size) + offset for size, (scale, offset) in zip(shape, mapping, strict=True)]
    at = np.meshgrid(*(np.clip(p, 0, n - 1) for p, n in zip(places, logits.shape[1:], strict=True)), indexing="ij")
    return np.argmax([map_coordinates(channel, at, order=1) for channel in logits], axis=0)


def exact(patch, **others) -> WindowOptions:
    return WindowOptions(patch, precision="float32", **others)


@pytest.mark.parametrize("kind", [Declared, Discovered, Headless])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_labels_equal_those_of_summed_logits_at_any_overlap(kind, overlap):
    network, volume, options = make(kind), smooth((19, 23, 17)), exact((8, 12, 10), overlap=overlap)
    found = predict_labels(network, volume, options, "cpu")
    wanted = reference_labels(reference_logits(network, volume, options))
    assert len(np.unique(wanted)) > 3
    assert (found.labels == wanted).mean() > 0.9999


@pytest.mark.parametrize(
    "shape",
    [(5, 23, 17), (30, 6, 7), (1, 20, 20), (12, 1, 9), (3, 4, 5), (1, 1, 1), (9, 12, 41), (13, 40, 10), (11, 11, 11)],
)
def test_any_shape_gives_the_reference_labels_on_both_grids(shape):
    network, volume, options = make(), smooth(shape), exact((10, 10, 10), pad_value=-0.5)
    logits = reference_logits(network, volume, options)
    found = predict_labels(network, volume, options, "cpu")
    assert (found.labels == reference_labels(logits)).mean() > 0.999
    finer = tuple(2 * size for size in shape)
    found = predict_labels(network, volume, options, "cpu", finer, CENTERED_DOUBLE)
    assert (found.labels == reference_labels(logits, finer, CENTERED_DOUBLE)).mean() > 0.999


@pytest.mark.parametrize("kind", [Declared, Headless])
@pytest.mark.parametrize(
    ("shape", "mapping"),
    [
        ((40, 30, 50), ((0.5, -0.25), (0.7, 0.1), (0.35, 0.3))),
        ((12, 9, 11), ((1.7, 0.2), (2.0, 0.0), (1.6, 0.5))),
        ((20, 30, 18), ((-1.0, 19.0), (0.7, 0.1), (-0.9, 16.2))),
        ((20, 22, 18), ((-1.0, 19.0), (1.0, 0.0), (-1.0, 17.0))),
        ((10, 22, 9), ((2.0, 1.0), (1.0, 0.0), (2.0, 0.0))),
    ],
)
def test_labels_on_another_grid_are_those_of_interpolated_logits(kind, shape, mapping):
    network, volume, options = make(kind), smooth((20, 22, 18)), exact((10, 8, 8))
    found = predict_labels(network, volume, options, "cpu", shape, mapping)
    wanted = reference_labels(reference_logits(network, volume, options), shape, mapping)
    assert found.labels.shape == shape
    assert (found.labels == wanted).mean() > 0.9995


def test_output_voxels_a_whole_voxel_off_the_network_grid_are_background():
    network, volume = make(), smooth((12, 12, 12))
    found = predict_labels(
        network, volume, exact((8, 8, 8)), "cpu", (16, 12, 12), ((1.0, -2.0), (1.0, 0.0), (1.0, 0.0))
    )
    inside = predict_labels(network, volume, exact((8, 8, 8)), "cpu").labels
    assert not found.labels[:2].any()
    assert not found.labels[14:].any()
    assert np.array_equal(found.labels[2:14], inside)


@pytest.mark.parametrize(("classes", "kind"), [(256, np.uint8), (300, np.uint16)])
def test_more_than_256_classes_give_sixteen_bit_labels(classes, kind):
    network, volume, options = make(classes=classes), smooth((12, 10, 11)), exact((8, 8, 8))
    found = predict_labels(network, volume, options, "cpu")
    assert found.labels.dtype == kind
    assert (found.labels == reference_labels(reference_logits(network, volume, options))).mean() > 0.999


def test_several_windows_per_network_call_give_the_same_labels():
    network, volume = make(), smooth((20, 22, 18))
    one, three = (predict_labels(network, volume, exact((8, 8, 8), batch=batch), "cpu").labels for batch in (1, 3))
    assert (one == three).mean() > 0.9999


def test_a_memory_mapped_volume_of_integers_is_read_as_it_is(tmp_path):
    np.save(tmp_path / "volume.npy", np.round(100 * smooth((20, 22, 18))).astype(np.int16))
    mapped = np.load(tmp_path / "volume.npy", mmap_mode="r")
    found = predict_labels(make(), mapped, exact((8, 8, 8)), "cpu").labels
    assert np.array_equal(found, predict_labels(make(), mapped.astype(np.float32), exact((8, 8, 8)), "cpu").labels)


def test_several_channels_reach_the_network():
    network, volume, options = make(channels=3), smooth((14, 12, 11), 3), exact((8, 8, 8))
    found = predict_labels(network, volume, options, "cpu")
    assert (found.labels == reference_labels(reference_logits(network, volume, options))).mean() > 0.9999


@pytest.mark.parametrize("kind", [Declared, Headless])
@pytest.mark.parametrize("mapping", [IDENTITY, CENTERED_DOUBLE])
def test_skipped_windows_leave_background_and_do_not_weaken_their_neighbors(kind, mapping):
    network, options = make(kind), exact((8, 8, 8), skip_background=0.0, confidence=True)
    volume = np.zeros((1, 30, 20, 20), np.float32)
    volume[:, 18:25, 3:9, 2:16] = np.abs(smooth((7, 6, 14))) + 0.1
    shape = tuple(round(n / mapping[0][0]) for n in volume.shape[1:])
    found = predict_labels(network, volume, options, "cpu", shape, mapping)
    logits = reference_logits(network, volume, options)
    covered = np.isfinite(logits[0])
    assert 0 < found.skipped < found.patches
    assert not covered.all()
    if mapping is IDENTITY:
        assert (found.labels == np.where(covered, reference_labels(np.nan_to_num(logits)), 0)).mean() > 0.9999
        return
    # Only voxels that a window saw take part in the interpolation.
    share = reference_share(covered, shape, mapping)
    mixed = reference_labels(np.nan_to_num(logits), shape, mapping)
    assert (found.labels == np.where(share > 0, mixed, 0)).mean() > 0.999


def reference_share(covered: np.ndarray, shape, mapping) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    places = [
        np.clip(s * np.arange(n) + o, 0, m - 1) for n, (s, o), m in zip(shape, mapping, covered.shape, strict=True)
    ]
    return map_coordinates(covered.astype(float), np.meshgrid(*places, indexing="ij"), order=1)


def test_a_volume_of_background_only_is_labeled_without_running_the_network():
    found = predict_labels(make(), np.zeros((1, 20, 20, 20), np.float32), exact((8, 8, 8), skip_background=0.0), "cpu")
    assert found.skipped == found.patches > 0
    assert not found.labels.any()


def test_a_region_gives_the_labels_of_that_box_alone():
    network, volume, options = make(), smooth((30, 24, 26)), exact((8, 8, 8))
    box = (slice(4, 20), slice(8, 24), slice(0, 12))
    found = predict_labels(network, volume, options, "cpu", region=box)
    alone = predict_labels(network, volume[(slice(None), *box)], options, "cpu")
    wanted = np.zeros_like(found.labels)
    wanted[box] = alone.labels
    assert np.array_equal(found.labels, wanted)
    assert found.patches == alone.patches


def test_a_region_narrower_than_the_patch_is_widened_within_the_volume():
    network, volume, options = make(), smooth((30, 24, 26)), exact((8, 8, 8))
    found = predict_labels(network, volume, options, "cpu", region=(slice(0, 2), slice(11, 13), slice(25, 26)))
    alone = predict_labels(network, volume[:, 0:8, 8:16, 18:26], options, "cpu")
    assert found.patches == 1
    assert np.array_equal(found.labels[0:8, 8:16, 18:26], alone.labels)


@pytest.mark.parametrize("kind", [Declared, Headless])
def test_confidence_is_the_mean_probability_of_each_winning_class(kind):
    network, volume, options = make(kind), smooth((17, 13, 12)), exact((8, 8, 8), confidence=True)
    found = predict_labels(network, volume, options, "cpu")
    logits = torch.from_numpy(reference_logits(network, volume, options))
    best, winner = torch.softmax(logits, 0).max(0)
    wanted = [float(best[winner == c].mean()) for c in range(len(logits))]
    np.testing.assert_allclose(found.confidence, wanted, atol=1e-3)


def test_bfloat16_changes_few_labels():
    network, volume = make(), smooth((20, 20, 20))
    exactly = predict_labels(network, volume, exact((16, 16, 16)), "cpu").labels
    found = predict_labels(network, volume, WindowOptions((16, 16, 16), precision="bfloat16"), "cpu")
    assert found.precision == "bfloat16"
    assert 0.9 < (found.labels == exactly).mean() < 1.0


def test_progress_rises_once_per_window_and_ends_at_one():
    seen: list[float] = []
    found = predict_labels(make(), smooth((20, 14, 12)), exact((8, 8, 8)), "cpu", progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert len(seen) == found.patches + 1


def test_a_cancel_ends_the_run_before_the_next_window():
    calls: list[float] = []

    def cancel(fraction: float) -> None:
        calls.append(fraction)
        if len(calls) == 3:
            raise Cancelled("stop")

    network = make()
    network.train()
    with pytest.raises(Cancelled):
        predict_labels(network, smooth((20, 20, 20)), exact((8, 8, 8)), "cpu", progress=cancel)
    assert len(calls) == 3
    assert network.training


def test_a_network_that_changes_the_size_is_refused():
    network = nn.Conv3d(1, 3, 3)
    with pytest.raises(ModelError, match="keep the size"):
        predict_labels(network, smooth((12, 12, 12)), exact((8, 8, 8)), "cpu")


class Cropping(nn.Module):
    """Keeps the size of small patches only."""

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        return patch[:, :, :8, :8, :8]


def test_a_network_that_crops_large_patches_is_refused():
    with pytest.raises(ModelError, match="does not keep the size"):
        predict_labels(Cropping(), smooth((16, 16, 16)), exact((12, 12, 12)), "cpu")


def test_a_network_for_other_channels_is_refused_with_the_channel_count():
    with pytest.raises(ModelError, match="2 channels"):
        predict_labels(make(), smooth((12, 12, 12), 2), exact((8, 8, 8)), "cpu")


class Stepped(Declared):
    """Says what its patches must be divisible by."""

    multiple = 4


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: predict_labels(Stepped(), smooth((9, 9, 9)), exact((8, 8, 9)), "cpu"),
        lambda: WindowOptions((8, 8, 0)),
        lambda: WindowOptions((8, 8, 8), overlap=1.0),
        lambda: WindowOptions((8, 8, 8), precision="double"),
        lambda: WindowOptions((8, 8, 8), batch=0),
        lambda: predict_labels(make(), np.zeros((8, 8, 8), np.float32), exact((8, 8, 8)), "cpu"),
        lambda: predict_labels(make(), smooth((8, 8, 8)), exact((8, 8, 8)), "cpu", None, ((0.0, 0.0),) * 3),
        lambda: predict_labels(make(), smooth((8, 8, 8)), exact((8, 8, 8)), "cpu", region=(slice(9, 12),) * 3),
    ],
)
def test_arguments_without_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
