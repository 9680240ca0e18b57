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
