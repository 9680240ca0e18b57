"""Measure `medai register` beside other registration packages: one table.

    python Testing/Benchmarks/registration.py --output Testing/Benchmarks/registration.md

needs the ``benchmark-registration`` extra; a peer that is not installed is named and left out. Every run is a fresh
process from the files to the transform file, and the methods take turns, so that a busy machine disturbs all alike;
the table has the medians. CPU seconds are user and system time of that process and all it started, imports and file
reading included; memory is the peak of its largest process. The scores come from the shared evaluation script.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from processes import Cost, RunError, adopt_orphans, environment, processor, publish, run_alone
from registration_contenders import PEERS
from registration_pairs import SHARED, Pair, pairs

HERE = Path(__file__).resolve().parent
OURS = {f"MedAI {preset}": preset for preset in ("fast", "default", "accurate")}
METHODS = (*OURS, *PEERS)
SCORES = ("dice", "hd95", "fold_pct", "sdlogj")


@dataclass(frozen=True)
class Run(Cost):
    """What one process took and found.

    Attributes:
        scores: the evaluation's values, in the order of SCORES.
    """

    scores: tuple[float, ...]


def command(method: str, pair: Pair, field: Path, arguments: argparse.Namespace) -> list[str]:
    """What registers this pair."""
    if method not in OURS:
        peer = [str(HERE / "registration_contenders.py"), method, str(pair.fixed), str(pair.moving), str(field)]
        return [sys.executable, *peer, "--device", arguments.device]
    files = ["--fixed", str(pair.fixed), "--moving", str(pair.moving), "--transform", str(field)]
    options = ["--preset", OURS[method], "--device", arguments.device, *shlex.split(arguments.options)]
    return [sys.executable, "-m", "MedAILib", "register", *files, *options]


def measure(method: str, pair: Pair, folder: Path, arguments: argparse.Namespace) -> Run:
    """Run and score one method in a fresh process.

    Raises:
        RunError: it failed.
    """
    print(f"  {pair.name}: {method} …", file=sys.stderr, flush=True)
    field = folder / "field.nii.gz"
    field.unlink(missing_ok=True)
    cost = run_alone(command(method, pair, field, arguments), field, folder / "log.txt")
    found = score(pair, field)
    return Run(**vars(cost), scores=tuple(found[name] for name in SCORES))


def score(pair: Pair, field: Path | None) -> dict[str, float]:
    """The evaluation of a displacement file, or of no displacement."""
    line = [sys.executable, str(SHARED / "eval" / "registration.py")]
    line += ["--fixed-seg", str(pair.fixed_labels), "--moving-seg", str(pair.moving_labels)]
    line += [] if field is None else ["--disp-itk", str(field)]
    return json.loads(subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True).stdout)


def available(methods: list[str]) -> Iterator[tuple[str, str | None]]:
    """Each method with its version, or None where it cannot run here."""
    line = [sys.executable, "-m", "MedAILib", "register", "--help"]
    ours = subprocess.run(line, env=environment(), capture_output=True, check=False).returncode == 0
    for method in methods:
        yield method, ("" if ours else None) if method in OURS else PEERS[method].version


def take_turns(methods: list[str], pair: Pair, arguments: argparse.Namespace) -> dict[str, list[Run] | str]:
    """The runs of each method in ``repeat`` rounds; for one that failed, what it said."""
    found: dict[str, list[Run] | str] = {method: [] for method in methods}
    for _ in range(arguments.repeat):
        for method in methods:
            runs = found[method]
            if isinstance(runs, str):
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    runs.append(measure(method, pair, Path(folder), arguments))
                except RunError as error:
                    found[method] = str(error)
    return found


def rows(methods: list[str], pair: Pair, arguments: argparse.Namespace) -> Iterator[str]:
    """Table lines of one pair."""
    start = score(pair, None)
    yield f"| {pair.name} | *start, {start['labels']} labels* | {start['dice']:.4f} | {start['hd95']:.2f} | | | | | |"
    for method, runs in take_turns(methods, pair, arguments).items():
        if isinstance(runs, str):
            yield f"| {pair.name} | {method} | failed: {runs.replace('|', '/')} | | | | | | |"
            continue
        dice, distance, folds, spread = (median(values) for values in zip(*(run.scores for run in runs), strict=True))
        cpu, wall, peak = (median(getattr(run, name) for run in runs) for name in ("cpu", "wall", "peak"))
        yield (
            f"| {pair.name} | {method} | {dice:.4f} | {distance:.2f} | {folds:.4f} | {spread:.3f} "
            f"| {cpu:.1f} | {wall:.1f} | {peak:.0f} |"
        )


def table(arguments: argparse.Namespace, folder: Path) -> Iterator[str]:
    """All lines of the report."""
    asked = dict(available(arguments.methods))
    methods = [method for method, there in asked.items() if there is not None]
    yield (
        f"{os.cpu_count()} threads of {processor()}, torch on {arguments.device}; medians of {arguments.repeat}. "
        "CPU s, wall s and peak MB are those of the whole process.\n"
    )
    yield "| pair | method | Dice | HD95 mm | folds % | sd log J | CPU s | wall s | peak MB |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for pair in pairs(arguments.pairs, arguments.reverse, arguments.data, folder):
        yield from rows(methods, pair, arguments)
    peers = [name for name in methods if name in PEERS]
    notes = [f"- {name}: {PEERS[name].package} {asked[name]}, {PEERS[name].settings}." for name in peers]
    missing = [name for name, there in asked.items() if there is None]
    if options := arguments.options.strip():
        notes.append(f"- MedAI: with `{options}`.")
    if missing:
        notes.append(f"- Not installed, so not measured: {', '.join(missing)}.")
    yield from ["", *notes] if notes else []


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs",
        nargs="+",
        default=["oasis", "lungmr", "slab", "hippocampus"],
        help="names of shared pairs, hippocampus:ID-ID, or folders with fixed, moving, fixed_seg, moving_seg (.nii.gz)",
    )
    parser.add_argument("--reverse", action="store_true", help="also register each pair the other way round")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each method")
    parser.add_argument("--device", default="cpu", help="of our engine and of the peers that run on torch")
    parser.add_argument("--options", default="", help="more for `medai register`, as one text")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="the shared data")
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        publish(table(arguments, Path(folder)), arguments.output)


if __name__ == "__main__":
    main()
