"""All 3D networks on the same labeled scans: ``python Testing/Benchmarks/networks.py``.

Each is trained by its shipped recipe with ``medai train`` on the same cases, with the same patches and the same number
of steps, then run by ``medai``'s engine on the cases for testing. Runs are kept in a folder and not repeated, so that
an interrupted table goes on; an unfinished training resumes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from networks_data import Split, hippocampus
from processes import HERE, RunError, processor, publish, run_alone

from MedAILib.training.config import load_values

BASELINE = "residual-unet"
NETWORKS = {
    BASELINE: "plain residual U-Net",
    "vnet": "V-Net",
    "pdv-net": "PDV-Net",
    "res-unet-r": "Res-UNet-R",
    "res-unet-h": "Res-UNet-H",
    "implicit-unet": "Implicit U-Net",
    "implicit-unet-fast": "Implicit U-Net, faster descendant",
    "nisf": "NISF",
    "morse-residual-unet": "MORSE on the residual U-Net",
    "morse-vnet": "MORSE on V-Net",
    "relational-unet": "RelationalUNet",
}
"""Recipe to name."""
THRICE = (BASELINE, "vnet", "pdv-net", "res-unet-h", "implicit-unet-fast", "morse-residual-unet")
"""Those that are trained with every seed; the others with the first one."""
PATCH = (48, 64, 48)
BATCH = 2
FIGURES = HERE.parents[1] / "MedAI" / "MedAILib" / "training" / "figures.json"


@dataclass(frozen=True)
class Run:
    """One network, trained once.

    Attributes:
        recipe: of the network.
        seed: of weights and samples.
        training: CPU seconds of the training process, validation included.
        figures: see :func:`networks_score.measure`.
    """

    recipe: str
    seed: int
    training: float
    figures: dict[str, Any]


def adapted(recipe: str, seed: int, steps: int, split: Split) -> dict[str, Any]:
    """A shipped recipe with what all networks have in common; validation happens at the beginning and at the end."""
    values, _ = load_values(recipe)
    values["plan"] = {**values.get("plan", {}), "patch": list(PATCH), "batch": BATCH}
    training = {name: value for name, value in values["training"].items() if name != "seconds"}
    values["training"] = {**training, "steps": steps, "seed": seed}
    values["validation"] = {**values.get("validation", {}), "cases": split.held_out, "budget": 0.0}
    return values


def trained(recipe: str, seed: int, steps: int, runs: Path, split: Split) -> Run:
    """Train and score, or read what an earlier call left.

    Raises:
        RunError: a process failed; its log lies in the run's folder.
    """
    folder = runs / f"{recipe}-{steps}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done.json"
    if not done.is_file():
        config, costs = folder / f"{recipe}.json", folder / "seconds.json"
        config.write_text(json.dumps(adapted(recipe, seed, steps, split)), encoding="utf-8")
        command = [sys.executable, "-m", "MedAILib", "train", str(config), "--data", str(runs / "data")]
        command += ["--output", str(folder), "--device", "cpu", "--quiet"]
        spent = json.loads(costs.read_text(encoding="utf-8")) if costs.is_file() else 0.0
        if not costs.is_file():
            spent = run_alone(command, folder / "model" / "model.json", folder / "train.txt").cpu
            costs.write_text(json.dumps(spent), encoding="utf-8")
        score = [sys.executable, str(HERE / "networks_score.py"), str(folder / "model"), str(folder / "score.json")]
        run_alone(score, folder / "score.json", folder / "score.txt")
        figures = json.loads((folder / "score.json").read_text(encoding="utf-8"))
        done.write_text(json.dumps(asdict(Run(recipe, seed, spent, figures))), encoding="utf-8")
    return Run(**json.loads(done.read_text(encoding="utf-8")))


def is_done(recipe: str, seed: int, steps: int, runs: Path) -> bool:
    """Whether a run was trained and scored by an earlier call."""
    return (runs / f"{recipe}-{steps}-{seed}" / "done.json").is_file()


def mean_of(run: Run, metric: str) -> float:
    """Mean of a metric over cases and classes."""
    return statistics.fmean(statistics.fmean(rows[metric]) for rows in run.figures["classes"].values())


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """What the table and the panel say of one network: over all its seeds and all cases for testing."""
    dice = {
        name: [value for run in runs for value in run.figures["classes"][name]["dice"]]
        for name in runs[0].figures["classes"]
    }
    return {
        "title": NETWORKS[runs[0].recipe],
        "parameters": runs[0].figures["parameters"],
        "mac": runs[0].figures["mac"],
        "training_s": statistics.median(run.training for run in runs),
        "inference_s": statistics.median(run.figures["seconds"] for run in runs),
        "peak_mb": statistics.median(run.figures["peak"] for run in runs),
        "dice": {name: statistics.fmean(values) for name, values in dice.items()},
        "dice_sd": {name: statistics.stdev(values) for name, values in dice.items()},
        "hd95": statistics.fmean(mean_of(run, "hd95") for run in runs),
        "surface_dice": statistics.fmean(mean_of(run, "surface_dice") for run in runs),
        "spread": statistics.stdev(mean_of(run, "dice") for run in runs) if len(runs) > 1 else None,
        "seeds": len(runs),
    }


def row(name: str, figures: Mapping[str, Any]) -> str:
    """One line of the table."""
    scores = [f"{figures['dice'][part]:.3f} ± {figures['dice_sd'][part]:.3f}" for part in figures["dice"]]
    mean = statistics.fmean(figures["dice"].values())
    spread = f" ± {figures['spread']:.4f}" if figures["spread"] is not None else ""
    cells = [
        figures["title"],
        f"{figures['parameters'] / 1e6:.2f}",
        f"{figures['mac'] / 1e3:.1f}",
        f"{figures['training_s']:.0f}",
        f"{figures['inference_s']:.2f}",
        f"{figures['peak_mb']:.0f}",
        *scores,
        f"{mean:.4f}{spread} ({figures['seeds']})",
        f"{figures['hd95']:.2f}",
        f"{figures['surface_dice']:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def report(options: argparse.Namespace, found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The table, line by line; what is behind it is added to ``found``."""
    split = hippocampus()
    data = options.runs / "data"
    if not data.is_dir():
        split.copy_to(data)
    yield f"Hippocampus MR: {len(split.train)} cases to train on, {len(split.test)} for testing; {options.steps} steps"
    yield f"of {BATCH} patches of {PATCH[0]} x {PATCH[1]} x {PATCH[2]} voxels; one thread of {processor()}."
    yield "Dice ± standard deviation over cases and seeds, its mean ± that of the means of seeds (how many); HD95 in"
    yield "mm, surface Dice at 1 mm; CPU seconds of the whole training, and of one case from the image to its labels."
    yield ""
    names = [f"Dice {name}" for name in split.classes.values()]
    head = ["network", "M parameters", "kMAC a voxel", "training CPU s", "case CPU s", "peak MB", *names]
    head += ["mean Dice", "HD95", "surface Dice"]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for name in options.networks:
        seeds = options.seeds if name in THRICE else options.seeds[:1]
        if options.finished:
            seeds = [seed for seed in seeds if is_done(name, seed, options.steps, options.runs)]
        if not seeds:
            continue
        try:
            runs = [trained(name, seed, options.steps, options.runs, split) for seed in seeds]
        except RunError as error:
            yield f"| {NETWORKS[name]} | failed: {error} |"
            continue
        found[name] = summary(runs)
        yield row(name, found[name])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="RECIPE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="of most; of the others the first")
    parser.add_argument(
        "--finished", action="store_true", help="only what earlier calls left in the folder of the runs"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--runs", type=Path, default=Path("network-runs"), help="folder of the runs")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("--figures", action="store_true", help="also write the figures that the Train tab shows")
    parser.add_argument("--plot", type=Path, help="draw accuracy against cost into this file (needs matplotlib)")
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    publish(report(options, found), options.output)
    if options.figures:
        text = {
            "data": "hippocampus MR crops (MSD Task04), 26 cases to train on, 10 for testing",
            "command": f"python Testing/Benchmarks/networks.py --steps {options.steps} --figures",
            "networks": found,
        }
        FIGURES.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(found, options.plot)
    return 0


def plot(found: Mapping[str, Mapping[str, Any]], file: Path) -> None:
    """Mean Dice against CPU seconds of a case; the area of a dot says how many parameters."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    places = {key: (one["inference_s"], statistics.fmean(one["dice"].values())) for key, one in found.items()}
    for number, key in enumerate(sorted(found, key=lambda key: -places[key][1]), 1):
        size, title = 20 + 40 * found[key]["parameters"] / 1e6, f"{number}  {found[key]['title']}"
        axes.scatter(*places[key], s=size, alpha=0.6, label=title)
        axes.annotate(str(number), places[key], textcoords="offset points", xytext=(7, 4), fontsize=8)
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    axes.set(xscale="log", xlabel="CPU seconds of a case", ylabel="mean Dice", title="Size of a dot: parameters")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
