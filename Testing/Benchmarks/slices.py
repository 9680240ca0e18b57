"""All networks for slices on the same cardiac MR slices: ``python Testing/Benchmarks/slices.py``.

Each is trained by its shipped recipe with ``medai train`` on slices of three patients, with the same pictures and the
same number of steps, then run by ``medai``'s engine on the slices of two others. Runs are kept in a folder and not
repeated.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from networks_data import Split, cardiac
from networks_score import multiplications, scored, scoring
from processes import RunError, processor, publish, run_alone

from MedAILib.models import load_network, read_card
from MedAILib.training.config import load_values

NETWORKS = {
    "unet2d": "plain residual U-Net",
    "fet": "FET",
    "iscf": "ISCF",
    "super-token": "super tokens and CNN",
    "ffpn": "FFPN-R",
}
"""Recipe to name."""
PLAN = {"spacing": [1.0, 2.0, 2.0], "patch": [1, 128, 128], "batch": 4}
"""Whole pictures at half their resolution; scores are interpolated to the pictures' own pixels."""
LOST = {"dice": 0.0, "hd95": 256 * 2**0.5}
"""Of a ventricle that was not found: its distance is the picture's diagonal."""

COSTS = {"training": ".0f", "seconds": ".2f", "peak": ".0f"}
"""Figures of which the median over the seeds is told, and how."""


def adapted(recipe: str, seed: int, steps: int, split: Split) -> dict[str, Any]:
    """A shipped recipe with what all networks have in common; validation happens at the beginning and at the end."""
    values, _ = load_values(recipe)
    values["plan"] = {**values.get("plan", {}), **PLAN}
    values["training"] = {**values["training"], "steps": steps, "seed": seed}
    values["validation"] = {"cases": split.held_out, "budget": 0.0}
    return values


def measure(folder: Path) -> dict[str, Any]:
    """All figures of a model folder as plain values."""
    torch.set_num_threads(1)
    card = read_card(folder)
    network, scores = load_network(card), scoring()
    label = card.labels[0].name
    results = [scored(network, card, case, scores) for case in cardiac().test]
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "seconds": statistics.median(seconds for seconds, _ in results),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "mac": multiplications(network, card),
        **{name: [rows[label].get(name, lost) for _, rows in results] for name, lost in LOST.items()},
    }


def trained(recipe: str, seed: int, steps: int, runs: Path, split: Split) -> dict[str, Any]:
    """Figures of a network that is trained and scored in processes of their own, or what an earlier call left.

    Raises:
        RunError: a process failed; its log lies in the run's folder.
    """
    folder = runs / f"{recipe}-{steps}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    costs, score = folder / "seconds.json", folder / "score.json"
    if not costs.is_file():
        config = folder / f"{recipe}.json"
        config.write_text(json.dumps(adapted(recipe, seed, steps, split)), encoding="utf-8")
        command = [sys.executable, "-m", "MedAILib", "train", str(config), "--data", str(runs / "data")]
        command += ["--output", str(folder), "--device", "cpu", "--quiet"]
        cost = run_alone(command, folder / "model" / "model.json", folder / "train.txt")
        costs.write_text(json.dumps(cost.cpu), encoding="utf-8")
    if not score.is_file():
        command = [sys.executable, __file__, "--score", str(folder / "model"), "--output", str(score)]
        run_alone(command, score, folder / "score.txt")
    figures = json.loads(score.read_text(encoding="utf-8"))
    return {**figures, "training": json.loads(costs.read_text(encoding="utf-8"))}


def row(name: str, seeds: Sequence[Mapping[str, Any]]) -> str:
    """One line of the table, from the figures of each seed."""
    dice = [value for figures in seeds for value in figures["dice"]]
    cells = [
        name,
        f"{seeds[0]['parameters'] / 1e6:.2f}",
        f"{seeds[0]['mac'] / 1e3:.1f}",
        *(f"{statistics.median(one[key] for one in seeds):{form}}" for key, form in COSTS.items()),
        f"{statistics.fmean(dice):.3f} ± {statistics.stdev(dice):.3f}",
        ", ".join(f"{statistics.fmean(figures['dice']):.3f}" for figures in seeds),
        f"{statistics.fmean(value for figures in seeds for value in figures['hd95']):.1f}",
        ", ".join(f"{sum(value == 0.0 for value in figures['dice'])}" for figures in seeds),
    ]
    return f"| {' | '.join(cells)} |"


def report(options: argparse.Namespace) -> Iterator[str]:
    """The report line by line, a network at a time."""
    split = cardiac()
    options.runs.mkdir(parents=True, exist_ok=True)
    split.copy_to(options.runs / "data")
    yield "# Networks for slices: the left ventricle in short-axis cine MR"
    yield ""
    yield f"Sunnybrook slices of 256 x 256 pixels, seen at half that: {len(split.train)} of three patients to train"
    yield f"on, {len(split.test)} of two others for testing. {options.steps} steps of {PLAN['batch']} pictures, seeds"
    yield f"{', '.join(map(str, options.seeds))}; one thread of {processor()}. Dice ± standard deviation over slices"
    yield "and seeds, and each seed's mean; HD95 in pixels of the slices; CPU seconds of the whole training, and of one"
    yield "slice from the image to its labels."
    yield ""
    head = ["network", "M parameters", "kMAC a pixel", "training CPU s", "slice CPU s", "peak MB", "Dice"]
    head += ["seed by seed", "HD95", "not found"]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for name in options.networks:
        try:
            seeds = [trained(name, seed, options.steps, options.runs, split) for seed in options.seeds]
            yield row(NETWORKS[name], seeds)
        except RunError as error:
            yield f"| {NETWORKS[name]} | failed: {error} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="RECIPE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--runs", type=Path, default=Path("slice-runs"), help="folder of the runs")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.score:
        options.output.write_text(json.dumps(measure(options.score)), encoding="utf-8")
    else:
        publish(report(options), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
