"""Measure `medai superres` in all its ways on simulated thick slices: one table.

    python Testing/Benchmarks/superres.py --output Testing/Benchmarks/superres.md

needs nibabel (in the ``benchmark-registration`` extra). Every run is a fresh process, from file to file, none of them
compressed. CPU seconds are user and system time of that process and all it started, its worker, imports and file
reading included; memory is the peak of its largest process. Scores: the shared evaluation script. A method is a name
of `medai superres --method`, with ``:SECONDS`` for a budget, then ``:cold`` to start without the weights that MedAI
brings and ``:map`` to ask for the map of uncertainty, which is compared with the true errors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from processes import Cost, RunError, adopt_orphans, processor, publish, run_alone
from superres_cases import CASES, Case

HERE = Path(__file__).resolve().parent
METHODS = ("cubic", "nearest", "linear", "lanczos", "ibp", "tikhonov", "sr4zct:54", "sr4zct:54:cold")
REFERENCE = "cubic"
SCORES = ("psnr", "ssim", "edge_psnr", "consistency_psnr", "shift_mm")
UNCERTAINTY = "uncertainty.nii"


@dataclass(frozen=True)
class Run(Cost):
    """What one process took and found.

    Attributes:
        scores: of the evaluation, by name.
    """

    scores: dict[str, float]


def command(method: str, case: Case, folder: Path, device: str) -> list[str]:
    """What computes one result."""
    name, *rest = method.split(":")
    line = [sys.executable, "-m", "MedAILib", "superres", str(folder / "slices.nii")]
    line += ["-o", str(folder / "result.nii"), "--like", str(folder / "truth.nii"), "--method", name]
    line += [*case.options, "--device", device, "--quiet", "--overwrite"]
    line += ["--budget", rest[0]] if rest else []
    line += ["--uncertainty", str(folder / UNCERTAINTY)] if "map" in rest[1:] else []
    return [*line, "--cold"] if "cold" in rest[1:] else line


def measure(method: str, name: str, folder: Path, device: str) -> Run:
    """Run and score one method in a fresh process.

    Raises:
        RunError: it failed.
    """
    print(f"  {name}: {method} …", file=sys.stderr, flush=True)
    result, told = folder / "result.nii", folder / UNCERTAINTY
    for file in (result, told):
        file.unlink(missing_ok=True)
    cost = run_alone(command(method, CASES[name], folder, device), result, folder / "log.txt")
    files = [str(file) for file in (result, told) if file.is_file()]
    return Run(**vars(cost), scores=case_script("score", name, str(folder), *files))


def case_script(what: str, *rest: str) -> dict[str, float]:
    """What `superres_cases.py` answers."""
    line = [sys.executable, str(HERE / "superres_cases.py"), what, *rest]
    return json.loads(subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True).stdout)


def rows(name: str, methods: list[str], device: str) -> Iterator[str]:
    """Table lines of one case."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        case_script("make", name, str(folder))
        reference = float("nan")
        for method in methods:
            try:
                run = measure(method, name, folder, device)
            except RunError as error:
                yield f"| {name} | {method} | failed: {str(error).replace('|', '/')} | | | | | | | | | | |"
                continue
            psnr, ssim, edges, consistency, shift = (run.scores[score] for score in SCORES)
            reference = psnr if method == REFERENCE else reference
            told = [f"{run.scores[each]:.2f}" if each in run.scores else "" for each in ("rank", "covered")]
            yield (
                f"| {name} | {method} | {psnr:.2f} | {psnr - reference:+.2f} | {ssim:.4f} | {edges:.2f} "
                f"| {consistency:.1f} | {shift:+.3f} | {' | '.join(told)} | {run.cpu:.1f} | {run.wall:.1f} "
                f"| {run.peak:.0f} |"
            )


def table(cases: list[str], methods: list[str], device: str) -> Iterator[str]:
    """All lines of the report."""
    yield (
        f"{os.cpu_count()} threads of {processor()}, torch on {device}. PSNR, SSIM and edge PSNR inside the body; "
        "consistency: how well the result explains the measured slices; rank: Spearman's correlation of the map of "
        "uncertainty with the true error; covered: share of the errors within the map's 90 % interval. CPU s, wall s "
        "and peak MB are those of the whole process.\n"
    )
    yield (
        "| case | method | PSNR dB | over cubic | SSIM | edge PSNR dB | consistency dB | shift mm | rank | covered "
        "| CPU s | wall s | peak MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for name in cases:
        yield from rows(name, methods, device)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument(
        "--methods", nargs="+", default=list(METHODS), help="NAME or NAME:SECONDS, with :cold, :map or both"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    adopt_orphans()
    publish(table(arguments.cases, arguments.methods, arguments.device), arguments.output)


if __name__ == "__main__":
    main()
