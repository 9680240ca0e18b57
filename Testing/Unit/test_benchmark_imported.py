"""The benchmark's own lines; making and running models with the other packages takes minutes and is not tested here."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from foreign_samples import NNUNET, random_network, write_nnunet


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "Benchmarks"))
    return import_module("imported")


def test_a_line_has_shares_and_medians_of_both(
    imported: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs, ours = np.zeros((10, 10, 10), np.uint8), np.zeros((10, 10, 10), np.uint8)
    theirs[:2], ours[:2], ours[2, 0, :5] = 1, 1, 1
    costs = {"nnU-Net": iter([4.0, 2.0, 3.0]), "MedAI": iter([1.0, 9.0, 1.5])}

    def measure(kind: str, folder: Path, image: Path, labels: Path, options: Namespace, models: Path) -> object:
        np.save(labels, ours if kind == "MedAI" else theirs)
        return imported.Run(next(costs[kind]), 100.0 if kind == "MedAI" else 400.0)

    monkeypatch.setattr(imported, "measure", measure)
    monkeypatch.setattr(imported, "make", lambda *given: tmp_path)
    monkeypatch.setattr(imported, "bring_in", lambda *given: "name")
    monkeypatch.setattr(imported, "IMAGES", {"crop": lambda: tmp_path})
    line = imported.row("nnU-Net", "crop", Namespace(cache=tmp_path, steps=1, repeat=3), tmp_path)
    assert line == "| nnU-Net | crop | 99.5000 | 5 of 200 | 3.00 | 1.50 | 0.50 | 400 | 100 | 0.25 |"


def test_a_model_is_imported_as_its_line_says(imported: ModuleType, tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path / "result", random_network("nnunet", NNUNET), inference_allowed_mirroring_axes=(0,))
    name = imported.bring_in("nnU-Net, mirrored", folder, tmp_path / "models")
    card = (tmp_path / "models" / name / "model.json").read_text()
    assert '"mirror": [\n' in card
