"""Implicit U-Net and its faster descendant beside the equal U-Net: one command, one table.

    python Testing/Benchmarks/implicit.py --output Testing/Benchmarks/implicit.md

The equal U-Net is nnU-Net's with the same encoder and as many convolutions at each level of its decoder. Costs are CPU
seconds of this process with one thread, in the number format that the engine chooses here; the networks take turns and
the tables have the medians. What inference costs depends on the shape that is found, not on how well it was learned:
the networks have random weights, and their decoders' answers are computed and then exchanged for those of a ball of a
given share of the patch. Dice is that of networks trained by the shipped recipes, see :mod:`short_training`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from processes import processor, publish
from short_training import BATCH, Lesson, Result, kept, lesson, recipe_values, score, spread, taught
from torch import nn

from MedAILib.inference.precision import TYPES, channels_last, choose_precision
from MedAILib.networks import build
from MedAILib.networks.implicit_unet import CONVOLUTIONS, WIDTHS, ImplicitUNet
from MedAILib.networks.implicit_unet_fast import FastImplicitUNet
from MedAILib.training.losses import DiceCrossEntropy

UNET, PAPER, FAST = "equal U-Net", "Implicit U-Net", "descendant"
RECIPES = {UNET: "implicit-unet-fast", PAPER: "implicit-unet", FAST: "implicit-unet-fast"}
"""The equal U-Net has the descendant's encoder and training."""
SIZES = {"nnU-Net's widths": WIDTHS, "half the widths": (16, 32, 64, 128, 128)}
SHARES = (0.01, 0.05, 0.10, 0.50)
SIDE = 64
POINTS = round(30000 / (160 * 160 * 96) * SIDE**3)
"""As large a share of the patch as in the paper."""
CLASSES = 3
PATCH = (32, 48, 32)


def unet_arguments(widths: Sequence[int]) -> dict[str, Any]:
    """Of the equal U-Net."""
    up = list(CONVOLUTIONS[-2::-1])
    return {"features": list(widths), "layers": list(CONVOLUTIONS), "up_layers": up}


def networks(widths: Sequence[int]) -> dict[str, nn.Module]:
    """The three with one encoder, the paper's with its own decoder."""
    made = {
        UNET: build("nnunet", {"classes": CLASSES, **unet_arguments(widths)}),
        PAPER: ImplicitUNet(1, CLASSES, widths),
        FAST: FastImplicitUNet(1, CLASSES, widths, hidden=(2 * widths[0],) * 2),
    }
    for network in made.values():
        channels_last(network)
    return made


def ball(share: float) -> torch.Tensor:
    """Logits (voxels, classes) of a ball of this share of the patch; boundaries everywhere for a share of 1."""
    if share >= 1.0:
        return torch.randn(SIDE**3, CLASSES, generator=torch.Generator().manual_seed(0))
    axis = torch.arange(SIDE) - 0.5 * SIDE + 0.3
    away = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt().flatten()
    depth = away.sort().values[int(share * SIDE**3)] - away
    return torch.stack([-depth, depth, -depth - 1.0], 1)


def tell(network: nn.Module, answer: torch.Tensor) -> None:
    """Let a network compute as ever, and answer something else."""
    if isinstance(network, ImplicitUNet):
        chunks = ImplicitUNet.chunks
        network.chunks = lambda maps, index, shape: 0 * chunks(network, maps, index, shape) + answer[index]
    elif isinstance(network, FastImplicitUNet):
        decode, dense = FastImplicitUNet.decode, FastImplicitUNet.dense
        whole = answer.view(1, SIDE, SIDE, SIDE, CLASSES).movedim(-1, 1)
        network.decode = lambda fine, coarse, index, shape: (
            0 * decode(network, fine, coarse, index, shape) + answer[index]
        )
        network.dense = lambda fine, coarse: 0 * dense(network, fine, coarse) + whole


def trained_on(network: nn.Module, x: torch.Tensor, target: torch.Tensor, voxels: torch.Tensor) -> None:
    """One step forward and back: a U-Net learns from all voxels, the others from points."""
    loss = DiceCrossEntropy()
    if isinstance(network, (ImplicitUNet, FastImplicitUNet)):
        loss(network(x, voxels), target.flatten(1).gather(1, voxels)).backward()
    else:
        loss(network(x), target).backward()
    network.zero_grad()


def seconds(work: Callable[[], object], precision: str) -> float:
    """CPU seconds of some work in a number format."""
    with torch.autocast("cpu", TYPES.get(precision, torch.bfloat16), enabled=precision in TYPES):
        began = time.process_time()
        work()
        return time.process_time() - began


def costs(widths: Sequence[int], repeat: int, precision: str) -> dict[str, dict[str, float]]:
    """For each network: parameters, seconds of a training step, and seconds and decoded share for each organ share."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, SIDE, SIDE, SIDE, generator=generator).contiguous(memory_format=torch.channels_last_3d)
    target = torch.randint(CLASSES, (1, SIDE, SIDE, SIDE), generator=generator)
    voxels = torch.randint(SIDE**3, (1, POINTS), generator=generator)
    made = networks(widths)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in made}
    for turn in range(repeat + 1):  # the first is to warm up
        for name, network in made.items():
            rows = found[name]
            network.train()
            rows.setdefault("step", []).append(
                seconds(lambda one=network: trained_on(one, x, target, voxels), precision)
            )
            network.eval()
            # All voxels through the paper's decoder take longer than everything else together: once is enough.
            for share in (1.0,) if turn == 0 else SHARES if name == PAPER else (*SHARES, 1.0):
                tell(network, ball(share))
                with torch.inference_mode():
                    rows.setdefault(f"at {share}", []).append(seconds(lambda one=network: one(x), precision))
                rows[f"decoded {share}"] = [float(getattr(network, "decoded", 1.0))]
    return {
        name: {
            "parameters": float(sum(each.numel() for each in made[name].parameters())),
            **{key: statistics.median(values[1:] or values) for key, values in rows.items()},
        }
        for name, rows in found.items()
    }


def cost_table(title: str, found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Lines of one size."""
    yield f"**{title}**"
    yield ""
    columns = [f"organ {100 * share:.0f} %" for share in SHARES]
    yield f"| network | M parameters | training step | {' | '.join(columns)} | boundaries everywhere |"
    yield f"|{'---|' * (len(columns) + 4)}"
    unet = found[UNET]
    for name, row in found.items():
        cells = [name]
        for key in ("parameters", "step"):
            value = row[key] / (1e6 if key == "parameters" else 1)
            cells.append(f"{value:.2f} ({100 * row[key] / unet[key] - 100:+.0f} %)" if name != UNET else f"{value:.2f}")
        for share in (*SHARES, 1.0):
            text = f"{row[f'at {share}']:.3f}"
            if name != UNET:
                ratio, decoded = row[f"at {share}"] / unet[f"at {share}"], row[f"decoded {share}"]
                text += f" ({ratio:.2f}x, {100 * decoded:.0f} % decoded)"
            cells.append(text)
        yield f"| {' | '.join(cells)} |"
    yield ""


def trained(values: Mapping[str, Any], seed: int, steps: int, given: Lesson) -> Result:
    """One network, trained and scored."""
    return score(*taught(values, seed, steps, given), given)


def accuracy(options: argparse.Namespace) -> dict[str, list[Result]]:
    """Results over the seeds."""
    given = lesson(PATCH)
    found: dict[str, list[Result]] = {name: [] for name in RECIPES}
    for seed in options.seeds:
        for name, recipe in RECIPES.items():
            values = recipe_values(recipe)
            if name == UNET:
                arguments = unet_arguments(SIZES["half the widths"])
                values.update(network={"name": "nnunet", "arguments": arguments}, objective={"name": "dense"})
            file = options.runs and options.runs / f"{name.replace(' ', '-')}-{options.steps}-{seed}.json"
            found[name] += kept(file, lambda values=values, seed=seed: [trained(values, seed, options.steps, given)])
    return found


def accuracy_table(found: Mapping[str, Sequence[Result]], steps: int) -> Iterator[str]:
    """Lines about Dice."""
    size = " x ".join(map(str, PATCH))
    yield f"**Trained** for {steps} steps of {BATCH} patches of {size} voxels, half the widths (the paper's decoder"
    yield "with 128 instead of 512 units), hippocampus MR, ten cases for testing; mean ± standard deviation over seeds."
    yield ""
    yield "| network | M parameters | training step | mean Dice | surface Dice 1 mm | Dice - equal U-Net | decoded |"
    yield f"|{'---|' * 7}"
    unet = found[UNET]
    for name, rows in found.items():
        step = statistics.median(row.step for row in rows)
        base = statistics.median(row.step for row in unet)
        differences = [row.dice - other.dice for row, other in zip(rows, unet, strict=True)]
        cells = [
            name,
            f"{rows[0].parameters / 1e6:.2f}",
            f"{step:.3f}" if name == UNET else f"{step:.3f} ({100 * step / base - 100:+.0f} %)",
            spread([row.dice for row in rows]),
            spread([row.surface_dice for row in rows]),
            "" if name == UNET else spread(differences, "+"),
            "" if name == UNET else f"{100 * statistics.fmean(row.decoded for row in rows):.0f} %",
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def verdicts(found: Mapping[str, Mapping[str, float]], results: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    """Which targets are reached, at half the widths."""
    yield "| target (half the widths) | Implicit U-Net | descendant |"
    yield "|---|---|---|"
    unet = found[UNET]

    def row(text: str, value: Callable[[str], float], good: Callable[[float], bool], form: str) -> str:
        cells = [f"{value(name):{form}} {'yes' if good(value(name)) else 'no'}" for name in (PAPER, FAST)]
        return f"| {text} | {' | '.join(cells)} |"

    def ratio(name: str, shares: Sequence[float]) -> float:
        return max(found[name][f"at {share}"] / unet[f"at {share}"] for share in shares)

    def few(name: str) -> list[float]:
        return [share for share in SHARES if found[name][f"decoded {share}"] <= 0.10]

    def less(name: str, key: str) -> float:
        return 1.0 - found[name][key] / unet[key]

    yield row("≥ 39 % fewer parameters", lambda name: less(name, "parameters"), lambda v: v >= 0.39, ".0%")
    yield row("≥ 45 % less training time", lambda name: less(name, "step"), lambda v: v >= 0.45, ".0%")
    yield row("inference ≤ 0.5x, ≤ 10 % decoded", lambda name: ratio(name, few(name)), lambda v: v <= 0.5, ".2f")
    yield row("never slower", lambda name: ratio(name, (*SHARES, 1.0)), lambda v: v <= 1.0, ".2f")
    if results:
        means = {name: statistics.fmean(row.dice for row in rows) for name, rows in results.items()}
        yield row("Dice at most 0.005 less", lambda name: means[name] - means[UNET], lambda v: v >= -0.005, "+.4f")


def report(options: argparse.Namespace) -> Iterator[str]:
    """The tables, line by line."""
    precision = choose_precision("auto", torch.device("cpu"))
    system = f"{processor()}, torch {torch.__version__}, {precision}"
    yield f"CPU seconds, one thread of {system}; medians of {options.repeat}."
    yield f"Costs: one patch of {SIDE} x {SIDE} x {SIDE} voxels; {POINTS} points in training, the paper's share."
    yield ""
    found = {}
    for title, widths in SIZES.items():
        found[title] = costs(widths, options.repeat, precision)
        yield from cost_table(f"{title} ({', '.join(map(str, widths))})", found[title])
    results = accuracy(options) if options.steps else {}
    if results:
        yield from accuracy_table(results, options.steps)
    yield from verdicts(found["half the widths"], results)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="of the trainings; 0 leaves them out")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--runs", type=Path, help="keep results of trainings in this folder, and do not repeat them")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    publish(report(options), options.output)


if __name__ == "__main__":
    main()
