"""unORANIC and DLEST on a scan: the same grid, values in its range, labeled, and the refusal to run untrained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MedAILib.errors import GeometryError, ModelError, UsageError
from MedAILib.image import Image
from MedAILib.networks import build
from MedAILib.networks.dlest import DLEST, langevin
from MedAILib.networks.unoranic import Unoranic
from MedAILib.pipeline import superres
from MedAILib.pipeline.superres_grid import same_grid
from MedAILib.superres import restoration
from MedAILib.superres.acquisition import Acquisition
from MedAILib.superres.problem import Problem
from MedAILib.superres.request import Scan, Scans, SuperresRequest
from MedAILib.superres.target import Target
from slice_phantoms import ellipses, volume_of
from superres_phantoms import Context, run
from Unit.registration_tools import single_thread

TINY: dict[str, dict[str, Any]] = {
    "unoranic": {"latent": 16},
    "dlest": {"side": 32, "least": 4, "most": 8, "latent": 8, "layers": 2, "steps": 3},
}
BOTH = pytest.mark.parametrize("name", list(TINY))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder."""
    monkeypatch.setenv("MEDAI_MODELS", str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, steps: int = 1000, **training: object) -> Path:
    torch.manual_seed(0)
    network = build(name, TINY[name])
    card = {"name": name, "network": {"name": name, "arguments": TINY[name]}}
    return restoration.write_restoration(network, folder, {**card, "training": {"steps": steps, **training}})


def scan(shape: tuple[int, int, int] = (5, 21, 27), dtype: type = np.int16) -> Image:
    values = np.random.default_rng(0).uniform(100.0, 1100.0, shape)
    values[2] = 250.0
    return volume_of(values.astype(dtype), "mine")


def asked(name: str, **more: Any) -> SuperresRequest:
    return SuperresRequest(name, **more)


@BOTH
def test_without_a_model_it_refuses_and_says_how_to_train_one(models: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"there is no trained {name} model.*medai train {name} --data"):
        run(scan(), asked(name))


@BOTH
def test_a_model_that_was_hardly_trained_is_refused(models: Path, name: str) -> None:
    write(models / name, name, steps=3)
    with pytest.raises(ModelError, match=f"is not trained.*medai train {name} --data"):
        run(scan(), asked(name))


@BOTH
def test_a_model_of_another_method_is_refused(models: Path, name: str) -> None:
    (other,) = set(TINY) - {name}
    write(models / name, other)
    with pytest.raises(ModelError, match=f"'{other}' is of another method than {name}"):
        run(scan(), asked(name))


@BOTH
def test_the_result_is_on_the_same_grid_in_the_same_values_and_labeled(models: Path, name: str) -> None:
    write(models / name, name)
    image = scan()
    result = run(image, asked(name))
    assert result.image.shape == image.shape and result.image.array.dtype == image.array.dtype
    np.testing.assert_array_equal(result.image.affine, image.affine)
    low, high = int(image.array.min()), int(image.array.max())
    margin = 0.11 * (high - low)
    assert low - margin <= result.image.array.min() and result.image.array.max() <= high + margin
    assert not np.array_equal(result.image.array, image.array)
    np.testing.assert_array_equal(result.image.array[2], image.array[2], "an empty slice stays")
    told = result.summary
    assert (told.method, told.generative, told.budget) == (name, True, 0.0)
    assert told.consistency_db is None and told.change is not None and told.change > 0.0
    assert any("generated anew" in note for note in told.notes)
    assert "MedAI.Generative" in told.provenance
    assert superres.RESTORING in told.timings
    np.testing.assert_array_equal(run(image, asked(name)).image.array, result.image.array)


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_along_any_axis_are_the_same_pictures(models: Path, name: str, axis: int) -> None:
    write(models / name, name)
    image = scan(dtype=np.float32)
    along_k = run(image, asked(name)).image.array
    spacing = np.ones(3)
    spacing[2 - axis] = 3.0
    turned = Image(np.ascontiguousarray(np.moveaxis(image.array, 0, axis)), np.diag([*spacing, 1.0]), "turned")
    np.testing.assert_allclose(np.moveaxis(run(turned, asked(name)).image.array, axis, 0), along_k, atol=0.01)


@BOTH
def test_an_isotropic_scan_is_taken(models: Path, name: str) -> None:
    write(models / name, name)
    image = Image(scan().array, np.eye(4), "isotropic")
    assert run(image, asked(name)).image.shape == image.shape


@BOTH
@pytest.mark.parametrize(
    "more",
    [
        {"spacing": 1.0},
        {"isotropic": True},
        {"consistent": True},
        {"outputs": ("residual",)},
        {"outputs": ("cubic",)},
    ],
)
def test_what_only_new_slices_can_have_is_refused(name: str, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="keeps their grid"):
        run(scan(), asked(name, **more))


@BOTH
def test_another_grid_and_further_scans_are_refused(name: str) -> None:
    image = scan()
    with pytest.raises(UsageError, match="another grid"):
        run(Scans(Scan(image), like=Target(image.shape, image.affine)), asked(name))
    with pytest.raises(UsageError, match="works on one scan alone"):
        run(Scans(Scan(image), (Scan(image),)), asked(name))


@BOTH
def test_what_was_not_reached_stays_as_measured(models: Path, name: str) -> None:
    write(models / name, name)
    result = run(scan(), asked(name), Context(concluded=True))
    np.testing.assert_array_equal(result.image.array, scan().array)
    assert result.summary.concluded


@BOTH
def test_slices_unlike_those_trained_on_are_told(models: Path, name: str) -> None:
    write(models / name, name, directions=["left-right"], pixel=2.0)
    notes = " ".join(run(scan(), asked(name)).summary.notes)
    assert "trained on left-right slices; these are inferior-superior" in notes
    assert "pixels of about 2 mm; these have 1 mm" in notes
    write(models / name, name, directions=["inferior-superior"], pixel=1.1)
    assert "trained on" not in " ".join(run(scan(), asked(name)).summary.notes)


@pytest.mark.parametrize(("after", "told"), [(24.0, False), (19.5, True)])
def test_a_model_that_made_held_out_slices_worse_is_told(models: Path, after: float, told: bool) -> None:
    write(models / "unoranic", "unoranic", validation={"corrupted_db": 20.0, "restored_db": after})
    notes = " ".join(run(scan(), asked("unoranic")).summary.notes)
    assert ("lost more (19.5 dB) than the corruption did (20.0 dB)" in notes) == told


def test_slices_larger_than_the_model_takes_are_refused(models: Path) -> None:
    write(models / "dlest", "dlest")
    with pytest.raises(GeometryError, match="40 x 21 pixels, the model takes at most 32 x 32"):
        run(scan((4, 21, 40)), asked("dlest"))


def test_slices_come_out_of_their_frame_as_they_went_in() -> None:
    pictures = torch.rand(2, 1, 5, 8)
    framed = restoration.framed(pictures, 16)
    assert framed.shape == (2, 1, 16, 16) and float(framed.sum()) == pytest.approx(float(pictures.sum()))
    assert torch.equal(restoration.unframed(framed, 5, 8), pictures)


@BOTH
def test_a_model_can_lie_anywhere(tmp_path: Path, name: str) -> None:
    image = scan(dtype=np.float32)
    grids = same_grid(image, 0)
    problem = Problem(image, 0, Acquisition(3.0, 3.0), grids.working, grids.line)
    seen: list[float] = []
    found = getattr(restoration, name)(problem, "cpu", seen.append, model=write(tmp_path / "anywhere", name))
    assert found.array.shape == image.shape and found.method == name
    assert [code for code, _ in found.notes] == ["generative"]
    assert seen[-1] == 1.0


def test_the_encoder_of_unoranic_halves_four_times_and_doubles_the_channels() -> None:
    network = Unoranic(64)
    again, restored, codes = network(torch.rand(2, 3, 32, 48))
    assert again.shape == restored.shape == (2, 1, 32, 48)
    assert codes.shape == (2, 3, 64, 2, 3)
    with pytest.raises(ModelError, match="multiple of 16"):
        build("unoranic", {"latent": 24})


def test_dlest_has_the_papers_blocks_and_codes_at_the_papers_size() -> None:
    network = DLEST()
    convolutions = [block.out_channels for block in network.encoder.blocks]
    assert convolutions == [64, 128, 256, 256, 256, 256, 256]
    assert len(network.decoder.blocks) == 7
    linear = [
        sum(isinstance(part, torch.nn.Linear) for part in layers.modules())
        for layers in (network.mapping, network.discriminator, network.energy_layers)
    ]
    assert linear == [8, 3, 2]
    with pytest.raises(ModelError, match="power of 2"):
        build("dlest", {"side": 48})


def test_the_dynamics_finds_the_minimum_of_a_quadratic_energy() -> None:
    torch.manual_seed(0)
    minimum, stiffness = torch.tensor([1.0, -2.0, 0.5]), 4.0

    def energy(codes: torch.Tensor) -> torch.Tensor:
        return 0.5 * stiffness * (codes - minimum).square().sum(1)

    start = torch.randn(4000, 3) * 3.0
    still = langevin(energy, start, 200, 0.05, noise=0.0)
    assert torch.allclose(still, minimum.expand_as(still), atol=1e-3)
    found = langevin(energy, start, 200, 0.05)
    # With noise it samples the Gibbs distribution, here a Gaussian of variance 1/stiffness.
    assert torch.allclose(found.mean(0), minimum, atol=0.05)
    assert torch.allclose(found.var(0), torch.full((3,), 1.0 / stiffness), atol=0.03)
    away = langevin(energy, still + 0.1, 5, 0.05, noise=0.0, uphill=True)
    assert float(energy(away).mean()) > float(energy(still + 0.1).mean())


def test_the_dynamics_can_be_followed_back_to_the_energys_weights() -> None:
    stiffness = torch.tensor(2.0, requires_grad=True)
    moved = langevin(
        lambda codes: 0.5 * stiffness * codes.square().sum(1), torch.ones(1, 1), 1, 0.1, 0.0, differentiable=True
    )
    (slope,) = torch.autograd.grad(moved.sum(), stiffness)
    assert float(moved.detach()) == pytest.approx(0.9) and float(slope) == pytest.approx(-0.05)


def test_a_picture_goes_through_dlest_the_same_way_each_time() -> None:
    network = DLEST(**TINY["dlest"]).eval()
    pictures = torch.from_numpy(ellipses(2, 0, 32))[:, None]
    with torch.no_grad():
        assert torch.equal(network(pictures), network(pictures))
