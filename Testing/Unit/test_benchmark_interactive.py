"""The interactive benchmark's own parts: its user draws where the error is, its peers find what is easy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "Benchmarks"
SPACING = (2.0, 1.0, 1.0)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


@pytest.fixture(autouse=True)
def _scripts_find_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def truth():
    mask = np.zeros((16, 30, 40), bool)
    mask[4:11, 8:17, 6:35] = True
    return mask


def voxels(prompt):
    from MedAILib.interactive.prompts import marked

    return marked(prompt, (16, 30, 40), AFFINE)


def test_the_first_stroke_runs_along_the_middle_half_of_the_object():
    from interactive_protocol import correction

    mask = truth()
    prompt = correction(np.zeros_like(mask), mask, AFFINE, SPACING, clicks=False)
    at = voxels(prompt)
    assert prompt.kind == "stroke" and prompt.positive and mask[tuple(at.T)].all()
    assert len(set(at[:, 0])) == 1 and 6 <= at[0, 0] <= 8 and 13 <= np.ptp(at[:, 2]) <= 16
    click = correction(np.zeros_like(mask), mask, AFFINE, SPACING, clicks=True)
    assert click.kind == "point" and 6 <= voxels(click)[0, 0] <= 8


def test_the_next_prompt_lies_in_the_largest_error_and_says_what_is_wrong():
    from interactive_protocol import correction

    found = truth()
    found[:, :, 30:] = False
    found[0:3, 20:28, 0:30] = True
    prompt = correction(found, truth(), AFFINE, SPACING, clicks=False)
    at = tuple(voxels(prompt).T)
    assert not prompt.positive and found[at].all() and not truth()[at].any()
    assert correction(truth(), truth(), AFFINE, SPACING, clicks=False) is None


def test_a_game_counts_its_prompts():
    from interactive import Game, row
    from interactive_protocol import Step
    from interactive_targets import Target

    from MedAILib.image import Image

    target = Target("CT", "cube", Image(truth().astype(np.float32), AFFINE), truth())
    game = Game(target, [Step(0.5, 0.1), Step(0.86, 0.3), Step(0.88, 0.2)])
    assert game.prompts_to(0.85) == 2 and game.prompts_to(0.9) is None
    assert row("cube | ours", [game], 3) == "| cube | ours | 0.500 | 0.880 | 2.0 (0) | (1) | 0.20 | 0.30 |"


@pytest.mark.parametrize("engine", ["online", "random walker", "GrowCut"])
def test_each_engine_finds_a_cube(engine):
    from interactive import ENGINES
    from interactive_protocol import play

    from MedAILib.image import Image

    array = np.random.default_rng(0).normal(0.0, 0.02, (16, 30, 40)) + truth()
    image = Image(array.astype(np.float32), AFFINE)
    steps = list(play(ENGINES[engine](image), image, truth(), 3))
    assert len(steps) == 3 and steps[-1].dice > 0.9


def test_nothing_that_is_reported_was_tuned_on():
    from interactive_targets import REPORTED, TUNING

    assert not {scan.image for scan in REPORTED} & {scan.image for scan in TUNING}
