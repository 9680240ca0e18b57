"""The super-resolution benchmark's own parts; its measuring takes minutes and is not tested here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "Benchmarks"


@pytest.fixture(autouse=True)
def _scripts_find_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_case_tells_our_command_what_no_header_says(tmp_path):
    import superres
    from superres_cases import CASES

    line = superres.command("sr4zct:54:cold", CASES["child brain 5/2.5"], tmp_path, "cpu")
    told = " ".join(line[4:])
    assert "--thickness 5 --profile gaussian --axis j --modality MR" in told
    assert told.endswith("--budget 54 --cold")
    assert "--budget" not in superres.command("cubic", CASES["spine CT 5/2.5"], tmp_path, "cpu")
    assert "--uncertainty" not in line
    line = superres.command("sr4zct:54:map", CASES["child brain 5/2.5"], tmp_path, "cpu")
    assert line[-2:] == ["--uncertainty", str(tmp_path / "uncertainty.nii")]


def test_a_map_is_scored_where_the_result_is():
    from superres_cases import Case, seen, told

    random = np.random.default_rng(0)
    size = np.exp(random.normal(size=(20, 30, 40)))
    error = np.abs(random.normal(scale=size))
    body = np.zeros(size.shape, bool)
    body[2:18, 2:28, 2:38] = True
    where = seen(Case("", 1, 5.0, 5.0, "box", "mr"), body, np.diag([1.0, 0.5, 1.0, 1.0]))
    assert where.sum() == 16 * 20 * 36
    error[~where] = 1e9
    good, useless = told(error, 1.645 * size, where), told(error, size[::-1], where)
    assert good["covered"] == pytest.approx(0.9, abs=0.01) and 0.5 < good["rank"] < 0.8
    assert useless["covered"] < 0.8 and useless["rank"] == pytest.approx(0.0, abs=0.03)


def test_our_operator_is_the_evaluations(tmp_path):
    from superres_cases import SHARED, evaluation

    from MedAILib.superres.operators import slice_matrix
    from MedAILib.superres.stack import Line

    if not (SHARED / "eval" / "superres.py").is_file():
        pytest.skip(f"{SHARED / 'eval' / 'superres.py'} is not there")
    script = evaluation()
    for theirs, ours in (("gauss", "gaussian"), ("box", "box"), ("hann", "hann")):
        for thickness, increment in ((4.0, 4.0), (5.0, 2.5), (3.0, 5.0)):
            centers = script.slice_centres(96, 0.9, thickness, increment)
            wanted = script.slice_matrix(96, 0.9, centers, thickness, theirs)
            line = Line(0.45 - thickness / 2.0, 0.9, 96)
            found = slice_matrix(len(centers), increment, line, thickness, ours)
            assert np.allclose(found, wanted, atol=1e-9)
