"""The registration benchmark's own parts; its measuring takes minutes and is not tested here."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

BENCHMARKS = Path(__file__).resolve().parents[1] / "Benchmarks"


@pytest.fixture(autouse=True)
def _scripts_find_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def pair_folder(folder: Path) -> Path:
    folder.mkdir()
    for name in ("fixed", "moving", "fixed_seg", "moving_seg"):
        (folder / f"{name}.nii.gz").touch()
    return folder


def asked(**changes) -> Namespace:
    return Namespace(**{"device": "cpu", "options": "", "repeat": 2, **changes})


def test_a_reversed_pair_exchanges_images_and_labels(tmp_path):
    from registration_pairs import pairs

    folder = pair_folder(tmp_path / "own")
    forward, back = pairs([str(folder)], True, tmp_path, tmp_path)
    assert (forward.name, back.name) == ("own", "own reversed")
    assert back.files == (forward.moving, forward.fixed, forward.moving_labels, forward.fixed_labels)


def test_a_pair_without_a_file_is_refused_with_its_name(tmp_path):
    from registration_pairs import pairs

    (pair_folder(tmp_path / "own") / "moving_seg.nii.gz").unlink()
    with pytest.raises(SystemExit, match=r"'own' lacks .*moving_seg"):
        pairs([str(tmp_path / "own")], False, tmp_path, tmp_path)


def test_crops_of_different_size_are_laid_center_on_center(tmp_path):
    from registration_pairs import pairs

    for kind in ("images", "labels"):
        crops = tmp_path / "brain" / "hippocampus" / kind
        crops.mkdir(parents=True)
        for name, length in (("1", 5), ("2", 9)):
            values = np.zeros((length, length, length), np.uint8)
            values[(length // 2,) * 3] = 7
            sitk.WriteImage(sitk.GetImageFromArray(values), str(crops / f"hippocampus_{name}.nii.gz"))
    for pair in pairs(["hippocampus:1-2"], True, tmp_path, tmp_path):
        arrays = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in pair.files]
        for array in arrays[1:]:
            np.testing.assert_array_equal(array, arrays[0])


def test_time_of_a_process_that_was_left_behind_counts(tmp_path):
    script = f"""
import subprocess, sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
import processes
processes.adopt_orphans()
busy = "import time\\nwhile time.process_time() < 0.5: pass"
leave = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {{busy!r}}])"
process = subprocess.Popen([sys.executable, "-c", leave])
cpu, peak, wall = processes.wait_for_all(process, time.perf_counter())
print(process.returncode, cpu >= 0.5, peak > 1)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    left_counts = str(sys.platform == "linux")
    assert answer.stdout.split() == ["0", left_counts, "True"]


def test_a_method_that_fails_does_not_stop_the_table(monkeypatch, tmp_path):
    import registration
    from registration_pairs import pairs

    pair = pairs([str(pair_folder(tmp_path / "own"))], False, tmp_path, tmp_path)[0]

    def measure(method, pair, folder, arguments):
        if method == "elastix":
            raise registration.RunError("no | overlap")
        return registration.Run(3.0, 2.0, 100.0, (0.75, 2.5, 0.0, 0.2))

    monkeypatch.setattr(registration, "measure", measure)
    monkeypatch.setattr(registration, "score", lambda pair, field: {"labels": 4, "dice": 0.5, "hd95": 4.0})
    start, failed, done = registration.rows(["elastix", "greedy"], pair, asked())
    assert "0.5000 | 4.00" in start
    assert "failed: no / overlap" in failed
    assert "0.7500 | 2.50 | 0.0000 | 0.200 | 3.0 | 2.0 | 100" in done


def test_a_peer_that_is_not_installed_is_named_and_left_out(monkeypatch, tmp_path):
    import registration
    import registration_contenders

    def version(name):
        if name != "dipy":
            raise registration_contenders.PackageNotFoundError(name)
        return "9.8"

    monkeypatch.setattr(registration_contenders, "version", version)
    lines = list(
        registration.table(
            asked(methods=["greedy", "dipy SyN"], pairs=[], reverse=False, data=tmp_path, options=" "), tmp_path
        )
    )
    assert any(line.startswith("- dipy SyN: dipy 9.8") for line in lines)
    assert lines[-1] == "- Not installed, so not measured: greedy."


def test_our_presets_go_through_the_command_line(tmp_path):
    import registration
    from registration_pairs import pairs

    pair = pairs([str(pair_folder(tmp_path / "own"))], False, tmp_path, tmp_path)[0]
    line = registration.command("MedAI fast", pair, tmp_path / "t.nii.gz", asked(options="--start given"))
    assert line[1:4] == ["-m", "MedAILib", "register"]
    assert line[line.index("--preset") + 1] == "fast" and line[-2:] == ["--start", "given"]
