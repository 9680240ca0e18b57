"""Dice of a model on labeled real scans that it was not trained on: ``python Testing/Benchmarks/accuracy.py``.

Segments each scan of ``../shared/data/brain`` whose truth is there, in both modes, scores it with
``../shared/eval/segmentation.py`` and prints one table. ``--card`` writes the figures into the model's ``model.json``
too, and makes the fast mode the default if it costs no more than 0.002 of Dice on any scan.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import MedAILib
from MedAILib.files import read_image, write_image
from MedAILib.image import Image, Kind

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
CASES = {
    "a FreeSurfer T1 without skull": ("fs_norm.mgz", "fs_aparc.a2009s+aseg.mgz"),
    "an OASIS T1 without skull": ("vxm_oasis_T1.nii.gz", "vxm_oasis_aseg.nii.gz"),
}
COMMAND = "python Testing/Benchmarks/accuracy.py --card"
METRICS = {
    "dice": "mean Dice (17 structures, sides merged)",
    "hd95": "mean HD95, mm",
    "surface_dice": "mean surface Dice at 1 mm",
}
TOLERANCE = 0.002
"""What the fast mode may cost of the mean Dice."""

Row = dict[str, float]


def without_parcels(truth: Image) -> Image:
    """FreeSurfer's cortical parcels (11100 to 12199) as left and right cerebral cortex (3, 42)."""
    array = truth.array.copy()
    array[(array >= 11100) & (array < 11200)] = 3
    array[(array >= 12100) & (array < 12200)] = 42
    return truth.with_array(array.astype(np.int16))


def score(scan: str, truth: str, model: str | None, device: str, mode: str) -> Row:
    """Segment one scan and score the 17 merged structures.

    Returns:
        The figures of :data:`METRICS`, and the CPU seconds of the worker, from its start to its end.
    """
    folder = SHARED / "data" / "brain"
    before = _child_seconds()
    with tempfile.TemporaryDirectory() as name:
        result, labels = Path(name, "result.nii.gz"), Path(name, "truth.nii.gz")
        MedAILib.segment(folder / scan, model=model, output=result, device=device, progress=False, mode=mode)
        write_image(labels, without_parcels(read_image(folder / truth, Kind.LABEL)))
        _close()
        seconds = _child_seconds() - before
        command = [sys.executable, str(SHARED / "eval" / "segmentation.py"), "--group", "brain17", "--json"]
        text = subprocess.run(
            [*command, "--truth", str(labels), "--pred", str(result)], check=True, capture_output=True, text=True
        ).stdout
    return {**json.loads(text)["mean"], "seconds": seconds}


def _close() -> None:
    """End the worker, so that its CPU time is counted."""
    from MedAILib.worker import close_workers

    close_workers()


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_card(model: str | None, exact: dict[str, Row], fast: dict[str, Row]) -> Path:
    """Put the figures into the card of a model folder; returns the card's path."""
    path = MedAILib.find_model(model).folder / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    loss = max(exact[name]["dice"] - fast[name]["dice"] for name in exact)
    card["fast"]["default"] = loss <= TOLERANCE
    card["measured"] = [
        {"dataset": name, "metric": f"{metric}{mode}", "value": round(rows[name][key], 4), "command": COMMAND}
        for name in exact
        for mode, rows in (("", exact), (", fast mode", fast))
        for key, metric in METRICS.items()
    ]
    path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="name or folder; the default model otherwise")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--card", action="store_true", help="write the figures into the model's card")
    options = parser.parse_args()
    if not SHARED.is_dir():
        print(f"The labeled scans are not there: {SHARED.name} is missing beside the repository.", file=sys.stderr)
        return 3
    rows: dict[str, dict[str, Row]] = {"exact": {}, "fast": {}}
    print("| scan | mode | mean Dice | HD95 mm | surface Dice, 1 mm | CPU s of the worker |\n|---|---|---|---|---|---|")
    for name, (scan, truth) in CASES.items():
        for mode, table in rows.items():
            row = table[name] = score(scan, truth, options.model, options.device, mode)
            figures = f"{row['dice']:.4f} | {row['hd95']:.2f} | {row['surface_dice']:.3f} | {row['seconds']:.1f}"
            print(f"| {name} | {mode} | {figures} |", flush=True)
    if options.card:
        print(f"Written to {write_card(options.model, rows['exact'], rows['fast']).name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
