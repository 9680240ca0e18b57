from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from MedAILib.errors import Cancelled, UsageError
from MedAILib.networks.lapirn import LapIRN
from MedAILib.networks.warping import warp
from MedAILib.registration import nio
from MedAILib.registration.losses import folds, local_correlation
from MedAILib.registration.nio import refine
from Unit.registration_tools import pair, single_thread, texture

TINY = {"channels": 4, "iterations": (4, 2, 2)}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def tiny_network(seed: int = 0) -> LapIRN:
    torch.manual_seed(seed)
    return LapIRN(channels=4, blocks=1, latent=4)


def error(displacement: torch.Tensor, true: torch.Tensor) -> float:
    return float((displacement - true[0]).norm(dim=0).mean())


def test_random_weights_recover_much_of_a_known_displacement() -> None:
    fixed, moving, true = pair()
    result = refine(fixed[0, 0], moving[0, 0], channels=6, iterations=(15, 10, 5), learning_rate=1e-2)
    assert result.improved
    assert error(result.displacement, true) < 0.5 * error(torch.zeros_like(true[0]), true)
    assert folds(result.displacement[None]) == 0
    assert result.notes == (nio.UNTRAINED,)


def test_a_start_near_the_truth_is_made_better_and_never_worse() -> None:
    fixed, moving, true = pair()
    start = 0.6 * true[0]
    result = refine(fixed[0, 0], moving[0, 0], start, channels=6, iterations=(6, 6, 3), learning_rate=5e-3)
    assert result.improved
    assert result.loss == min(point.loss for point in result.curve if point.kept) < result.curve[0].loss
    assert error(result.displacement, true) < error(start, true)


def test_what_never_gets_better_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving, true = pair()
    monkeypatch.setattr(nio, "folds", lambda displacement: 0 if torch.equal(displacement, true) else 1)
    result = refine(fixed[0, 0], moving[0, 0], true[0], **TINY)
    assert not result.improved
    assert torch.equal(result.displacement, true[0])
    assert [point.kept for point in result.curve] == [True, *[False] * 9]


def test_a_better_displacement_that_folds_is_repaired_and_then_kept() -> None:
    fixed, moving, true = pair()
    images = nio._Pair(fixed[0, 0], moving[0, 0], None, 8, 0.0, 7)
    best = nio._Best(images, torch.zeros_like(true))
    folded = true.clone()
    folded[0, 2, 8, 8, 8] += 4.0
    assert folds(folded) > 0
    loss = float(images.loss(folded))
    best.offer(1, loss, folded, False)
    assert not best.improved
    best.offer(1, loss, folded, True)
    assert best.improved
    assert folds(best.displacement) == 0
    assert best.loss == pytest.approx(float(images.loss(best.displacement)))


def test_a_step_too_far_does_not_spoil_the_best_result() -> None:
    fixed, moving, _ = pair()
    result = refine(fixed[0, 0], moving[0, 0], channels=4, iterations=(3, 0, 0), learning_rate=1e9)
    assert result.loss <= result.curve[0].loss
    assert torch.isfinite(result.displacement).all()


def test_levels_join_one_after_the_other() -> None:
    fixed, moving, _ = pair()
    result = refine(fixed[0, 0], moving[0, 0], **TINY)
    assert [point.level for point in result.curve] == [0, 1, 1, 1, 1, 2, 2, 3, 3, 3]


def test_zero_iterations_below_the_finest_level_are_the_method_without_its_schedule() -> None:
    fixed, moving, _ = pair()
    result = refine(fixed[0, 0], moving[0, 0], channels=4, iterations=(0, 0, 2))
    assert [point.level for point in result.curve] == [0, 3, 3, 3]
    assert refine(fixed[0, 0], moving[0, 0], channels=4, iterations=(0, 0, 0)).improved is False


def test_a_processor_leaves_the_finest_level_out_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving, _ = pair()
    monkeypatch.setattr(nio, "PROCESSOR_ITERATIONS", (1, 1, 0))
    result = refine(fixed[0, 0], moving[0, 0], channels=4)
    assert [point.level for point in result.curve] == [0, 1, 2, 2]
    assert nio.NOT_FINEST in result.notes


def test_trained_weights_are_the_beginning_and_stay_as_they_are() -> None:
    fixed, moving, _ = pair()
    network = tiny_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = refine(fixed[0, 0], moving[0, 0], weights=network, iterations=(1, 1, 1))
    assert result.notes == ()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_first_loss_is_that_of_the_formula() -> None:
    fixed, moving, true = pair()
    start = true[0] * 0.5
    result = refine(fixed[0, 0], moving[0, 0], start, iterations=(0, 0, 0), channels=4)
    similarity = float(local_correlation(fixed, warp(moving, start[None]), 7))
    rough = sum(float(start.diff(dim=axis).square().mean()) for axis in (1, 2, 3)) / 3
    assert result.curve[0].loss == pytest.approx(-0.6 * similarity + 0.4 * rough, rel=1e-5)


def test_one_seed_gives_one_result_whatever_was_drawn_before() -> None:
    fixed, moving, _ = pair()
    torch.manual_seed(1)
    first = refine(fixed[0, 0], moving[0, 0], **TINY)
    torch.manual_seed(2)
    again, other = refine(fixed[0, 0], moving[0, 0], **TINY), refine(fixed[0, 0], moving[0, 0], seed=5, **TINY)
    assert torch.equal(first.displacement, again.displacement)
    assert not torch.equal(first.displacement, other.displacement)


def test_it_runs_also_where_no_gradients_are_kept() -> None:
    fixed, moving, true = pair()
    with torch.inference_mode():
        images = [image[0, 0].clone() for image in (fixed, moving)]
        assert images[0].is_inference()
        result = refine(*images, true[0].clone(), mask=torch.ones(16, 16, 16), **TINY)
    assert len(result.curve) == 10


def test_progress_ends_at_one_and_can_cancel() -> None:
    fixed, moving, _ = pair()
    seen: list[float] = []
    refine(fixed[0, 0], moving[0, 0], progress=seen.append, **TINY)
    assert seen == pytest.approx([n / 8 for n in range(1, 9)])

    def cancel(fraction: float) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        refine(fixed[0, 0], moving[0, 0], progress=cancel, **TINY)


def test_any_size_is_taken_and_a_single_slice_stays_in_its_plane() -> None:
    image = texture(20)[0, 0, :1, :, :17]
    moved = torch.roll(image, 1, 2)
    result = refine(moved, image, **TINY)
    assert result.displacement.shape == (3, 1, 20, 17)
    assert float(result.displacement[0].abs().max()) == 0.0


def test_outside_the_mask_nothing_counts() -> None:
    fixed, moving, _ = pair()
    mask = torch.zeros(16, 16, 16)
    mask[:8] = 1
    spoiled = fixed[0, 0].clone()
    spoiled[12:] = torch.rand(4, 16, 16)
    ours = refine(fixed[0, 0], moving[0, 0], mask=mask, iterations=(0, 0, 0), channels=4)
    theirs = refine(spoiled, moving[0, 0], mask=mask, iterations=(0, 0, 0), channels=4)
    assert ours.curve[0].loss == pytest.approx(theirs.curve[0].loss, abs=1e-6)


def test_a_full_device_ends_the_run_with_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving, _ = pair()
    calls = []

    def full(self: LapIRN, *arguments: object) -> torch.Tensor:
        calls.append(arguments)
        raise torch.cuda.OutOfMemoryError("full")

    monkeypatch.setattr(LapIRN, "forward", full)
    result = refine(fixed[0, 0], moving[0, 0], **TINY)
    assert calls
    assert nio.MEMORY_FULL in result.notes
    assert not result.improved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": torch.zeros(3, 4, 4, 4)}, "must have shape"),
        ({"mask": torch.zeros(4, 4, 4)}, "mask"),
        ({"moving": torch.zeros(4, 4, 4)}, "one shape"),
        ({"moving": torch.full((16, 16, 16), torch.nan)}, "finite"),
        ({"iterations": (1, 2)}, "3 levels"),
        ({"iterations": (1, 2, -1)}, "3 levels"),
        ({"smoothness": 1.5}, "0 to 1"),
        ({"window": 4}, "odd"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    arguments = {"fixed": texture()[0, 0], "moving": texture()[0, 0], "channels": 4, **change}
    with pytest.raises(UsageError, match=message):
        refine(**arguments)  # type: ignore[arg-type]
