"""Measure our sliding-window engine beside MONAI's and nnU-Net's: one network, one volume, one table.

    python Testing/Benchmarks/engine.py --output Testing/Benchmarks/engine.md

needs the ``benchmark`` extra; without it, what names no peer still runs. Every run is a fresh process, and the
contenders take turns, so that a busy machine disturbs all alike; the table has the medians. CPU seconds are user and
system time of the call alone; memory is the peak of the whole process, libraries included. Overhead is what is left of
the CPU seconds when the network itself, run alone on as many patches, is taken off: the whole network for the peers,
and for ours only that part of it that our engine runs, so that skipping the head counts as no gain.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
from processes import environment, processor, publish

HERE = Path(__file__).resolve().parent
ENGINES = ("MedAI", "MedAI bf16", "MONAI", "nnU-Net")
PEER_PIPELINES = ("MONAI labels", "MONAI", "nnU-Net")
PACKAGES = {"MONAI": "monai", "MONAI labels": "monai", "nnU-Net": "nnunetv2"}
"""The package that brings each peer."""


@dataclass(frozen=True)
class Case:
    """One volume and network.

    Attributes:
        shape: (k, j, i) of the image.
        classes: number of classes.
        patch: window length.
        width: features before the head.
        zoom: size of a network voxel in image voxels.
    """

    shape: tuple[int, int, int]
    classes: int
    patch: int
    width: int
    zoom: float = 1.0


@dataclass(frozen=True)
class Run:
    """What one process took: CPU and wall seconds of the call, and its peak memory in GB (10^9 bytes)."""

    cpu: float
    wall: float
    peak: float


def phantom(shape: tuple[int, int, int]) -> np.ndarray:
    """A smooth textured ellipsoid in empty space, float32, 0 outside."""
    from scipy.ndimage import zoom

    random = np.random.default_rng(0)
    texture = np.zeros(shape, np.float32)
    for cells in (5, 12, 30):
        noise = random.normal(size=(cells,) * 3).astype(np.float32)
        texture += zoom(noise, [size / cells for size in shape], order=1, grid_mode=True, mode="nearest")
    axes = np.ogrid[tuple(slice(-1, 1, complex(0, size)) for size in shape)]
    inside = sum((axis / 0.75) ** 2 for axis in axes) <= 1
    return np.where(inside, np.abs(texture) + 0.1, 0).astype(np.float32)


def child(name: str, case: Case, volume: Path, labels: Path | None) -> Run:
    """Measure one contender in this process."""
    import torch
    from contenders import CONTENDERS, Network, Task, labels_type

    torch.set_num_threads(os.cpu_count() or 1)
    network = Network(case.classes, case.width).eval()
    task = Task(np.load(volume), network, case.classes, case.patch, case.zoom)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = CONTENDERS[name](task)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    # Linux counts in KiB, macOS in bytes.
    peak = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    if labels is not None and found is not None:
        np.save(labels, found.astype(labels_type(case.classes)))
    return Run(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, peak)


def measure(name: str, case: Case, volume: Path, labels: Path) -> Run:
    """Measure one contender in a fresh process; ``labels`` receives its result."""
    command = [sys.executable, str(HERE / "engine.py"), "--child", name, "--case", json.dumps(asdict(case))]
    command += ["--volume", str(volume), "--labels", str(labels)]
    print(f"  {name}, {case.classes} classes …", file=sys.stderr, flush=True)
    answer = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True, text=True)
    return Run(**json.loads(answer.stdout.splitlines()[-1]))


def take_turns(names: list[str], case: Case, repeat: int, folder: Path) -> dict[str, Run]:
    """Medians of ``repeat`` rounds; the labels stay in the folder as NAME.npy."""
    volume = folder / "volume.npy"
    np.save(volume, phantom(case.shape))
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(repeat):
        for name in names:
            runs[name].append(measure(name, case, volume, folder / f"{name}.npy"))
    return {
        name: Run(*(median(getattr(run, field) for run in found) for field in ("cpu", "wall", "peak")))
        for name, found in runs.items()
    }


def equal(folder: Path, first: str, second: str) -> str:
    """Share of equal labels of two contenders, in percent."""
    one, two = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in (first, second))
    return f"{100 * np.mean(one == two):.3f}"


def engine_rows(case: Case, names: list[str], repeat: int, folder: Path, with_reference: bool) -> Iterator[str]:
    """Table lines of the engines for one number of classes."""
    ours = any(name.startswith("MedAI") for name in names)
    peers = any(not name.startswith("MedAI") for name in names)
    bare = ["network"] * peers + ["features"] * ours
    runs = take_turns([*bare, *names], case, repeat, folder)
    if with_reference:
        measure("reference", case, folder / "volume.npy", folder / "reference.npy")
    for name in names:
        run = runs[name]
        # No bare run in bfloat16: its overhead would be against another network.
        alone = None if name == "MedAI bf16" else runs["features" if name == "MedAI" else "network"].cpu
        overhead = "" if alone is None else f"{run.cpu - alone:.1f}"
        same = equal(folder, name, "reference") if with_reference else ""
        yield f"| {case.classes} | {name} | {run.cpu:.1f} | {overhead} | {run.wall:.1f} | {run.peak:.2f} | {same} |"


def pipeline_rows(case: Case, names: list[str], repeat: int, folder: Path) -> Iterator[str]:
    """Table lines of the whole way from image to labels for one number of classes."""
    ours = ["MedAI pipeline", "MedAI fast pipeline"]
    runs = take_turns([*ours, *(f"{name} pipeline" for name in names)], case, repeat, folder)
    fast = runs["MedAI fast pipeline"]
    for name, run in runs.items():
        same = equal(folder, name, "MedAI pipeline") if name in ours else ""
        yield (
            f"| {case.classes} | {name.replace(' pipeline', '')} | {run.cpu:.1f} | {run.wall:.1f} | {run.peak:.2f} "
            f"| {run.cpu / fast.cpu:.1f} | {run.wall / fast.wall:.1f} | {same} |"
        )


def table(arguments: argparse.Namespace) -> Iterator[str]:
    """All lines of the report."""
    shape = tuple(arguments.shape)
    size, patch = " x ".join(map(str, shape)), arguments.patch
    yield (
        f"Volume {size}, {arguments.width} features, overlap 0.5, {os.cpu_count()} threads of {processor()}, "
        f"{', '.join(versions(arguments))}; medians of {arguments.repeat}."
    )
    with tempfile.TemporaryDirectory() as folder:
        if "engine" in arguments.tables:
            yield f"\n**Engine**, image and network grid the same, patch {patch}:\n"
            yield "| classes | engine | CPU s | overhead CPU s | wall s | peak GB | % equal to float32 reference |"
            yield "|---|---|---|---|---|---|---|"
            for classes in arguments.classes:
                case = Case(shape, classes, patch, arguments.width)
                yield from engine_rows(case, arguments.engines, arguments.repeat, Path(folder), arguments.reference)
        if "pipeline" in arguments.tables:
            patch, zoom = arguments.pipeline_patch, arguments.zoom
            yield f"\n**Pipeline**, image to labels on its grid, network voxels {zoom} times as large, patch {patch}:\n"
            yield "| classes | pipeline | CPU s | wall s | peak GB | CPU / fast | wall / fast | % equal to exact |"
            yield "|---|---|---|---|---|---|---|---|"
            for classes in arguments.classes:
                case = Case(shape, classes, patch, arguments.width, zoom)
                yield from pipeline_rows(case, arguments.pipelines, arguments.repeat, Path(folder))


def versions(arguments: argparse.Namespace) -> list[str]:
    """Name and version of torch and of the packages of the peers asked for.

    Raises:
        SystemExit: one of them is not installed.
    """
    asked = [*arguments.engines] if "engine" in arguments.tables else []
    asked += arguments.pipelines if "pipeline" in arguments.tables else []
    packages = sorted({PACKAGES[name] for name in asked if name in PACKAGES})
    try:
        return [f"{name} {version(name)}" for name in ("torch", *packages)]
    except PackageNotFoundError as error:
        raise SystemExit(
            f"The package {error.name} is not installed. Install the peers with: pip install -e .[benchmark], "
            "or leave them out: --tables engine --engines MedAI"
        ) from error


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 25, 105])
    parser.add_argument("--tables", nargs="+", choices=["engine", "pipeline"], default=["engine", "pipeline"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--pipelines", nargs="*", choices=PEER_PIPELINES, default=list(PEER_PIPELINES), help="peers")
    parser.add_argument("--no-reference", dest="reference", action="store_false", help="leave the comparison out")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each contender")
    parser.add_argument("--shape", type=int, nargs=3, default=[256, 256, 192], metavar=("K", "J", "I"))
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--width", type=int, default=16, help="features before the head")
    parser.add_argument("--zoom", type=float, default=1.5, help="size of a network voxel in image voxels (pipeline)")
    parser.add_argument("--pipeline-patch", type=int, default=96)
    parser.add_argument("--output", type=Path, help="write the report here too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--volume", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--labels", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        case = Case(**{**json.loads(arguments.case), "shape": tuple(json.loads(arguments.case)["shape"])})
        print(json.dumps(asdict(child(arguments.child, case, arguments.volume, arguments.labels))))
        return
    publish(table(arguments), arguments.output)


if __name__ == "__main__":
    main()
