"""The methods, by name; a method's module is imported when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .problem import Problem, Solution
from .stack import as_volume

Solve = Callable[[Problem, str, Callable[[float], None], Callable[[], bool]], Solution]
"""(problem, device, progress, stop) to the solution. ``progress`` may raise Cancelled; ``stop`` is True from the moment
on when the user wants what there is."""


@dataclass(frozen=True)
class Method:
    """A way to a volume with thin slices.

    Attributes:
        name: what the user types.
        title: what the panel shows.
        solve: "module:function" in this package.
        card: one sentence on what it does and when to take it.
        needs: further scans: "" none, "stack" in other directions, "contrast" another sequence.
        instant: a closed form, done in seconds and without torch.
        learned: a network learns from the scan, for as long as the budget says, or did so from others.
        generative: it makes up detail that fits the scan's kind, not this patient.
        uncertain: it can tell how uncertain it is.
        consistent: its result is to be corrected to reproduce the measured slices; some do that themselves.
        same_grid: it changes the slices themselves and makes no new ones.
    """

    name: str
    title: str
    solve: str
    card: str
    needs: str = ""
    instant: bool = False
    learned: bool = False
    generative: bool = False
    uncertain: bool = False
    consistent: bool = True
    same_grid: bool = False

    @property
    def timed(self) -> bool:
        """Whether the time budget means anything to it."""
        return not self.instant and not self.same_grid

    def load(self) -> Solve:
        """Import it; raises ImportError where a package is missing."""
        module, _, function = self.solve.partition(":")
        if self.instant:
            return partial(_instant, function)
        return getattr(importlib.import_module(f".{module}", __package__), function)


def _instant(
    name: str, problem: Problem, device: str, progress: Callable[[float], None], stop: Callable[[], bool]
) -> Solution:
    """A closed form along the slices, from :data:`MedAILib.superres.instant.METHODS`."""
    from .instant import METHODS as FORMS

    fine = FORMS[name](problem.stack, problem.line, problem.noise)
    progress(1.0)
    return Solution(as_volume(fine, problem.axis), method=name)


_EVERY = (
    Method(
        "auto",
        "Automatic",
        "",
        "Learns from the scan itself within the time given; without time it deconvolves, with further stacks it joins "
        "them.",
        learned=True,
        uncertain=True,
    ),
    Method(
        "sr4zct",
        "Learned from the scan itself",
        "self_supervised:solve",
        "Trains a small network on this scan's own sharp in-plane images and applies it across the slices.",
        learned=True,
        uncertain=True,
        consistent=False,
    ),
    Method(
        "sr4zct-paper",
        "SR4ZCT as published",
        "sr4zct_paper:solve",
        "The mixed-scale dense network of the SR4ZCT paper, trained on this scan; slow, for comparison.",
        learned=True,
    ),
    Method(
        "tikhonov",
        "Deconvolution (Tikhonov)",
        "instant:tikhonov",
        "Undoes the blur across the slices in closed form, as far as the measured noise allows; takes a second.",
        instant=True,
    ),
    Method(
        "ibp",
        "Iterative back-projection",
        "instant:ibp",
        "Interpolates, then corrects until the measured slices are reproduced; takes a second, amplifies noise.",
        instant=True,
    ),
    Method(
        "lanczos",
        "Lanczos interpolation",
        "instant:lanczos",
        "Interpolates between the slices with a windowed sinc; adds no detail.",
        instant=True,
        consistent=False,
    ),
    Method(
        "cubic",
        "Cubic interpolation",
        "instant:cubic",
        "Interpolates between the slices with cubic B-splines; adds no detail, the usual reference.",
        instant=True,
        consistent=False,
    ),
    Method(
        "linear",
        "Linear interpolation",
        "instant:linear",
        "Interpolates between the slices on straight lines; adds no detail.",
        instant=True,
        consistent=False,
    ),
    Method(
        "nearest",
        "Nearest slice",
        "instant:nearest",
        "Repeats the measured slices; shows what was measured and nothing else.",
        instant=True,
        consistent=False,
    ),
    Method(
        "dmdip",
        "Dual-modal deep image prior",
        "dmdip:solve",
        "Fits a network to the scan with a sharp second contrast of the same patient as its guide; slow.",
        needs="contrast",
        learned=True,
    ),
    Method(
        "csir",
        "C-SIR from orthogonal stacks",
        "csir:solve",
        "A network of the C-SIR paper, adapted to this patient's stacks of different directions.",
        needs="stack",
        learned=True,
        consistent=False,  # to the first stack alone, it would undo what the others say
    ),
    Method(
        "orthogonal",
        "Joint reconstruction of stacks",
        "orthogonal:solve",
        "Finds the motion between thick stacks of different directions and the one volume that explains them all.",
        needs="stack",
        consistent=False,
    ),
    Method(
        "hifidiff",
        "HiFi-Diff (generative)",
        "hifidiff:solve",
        "A trained diffusion model makes up plausible detail between the slices; needs a model of your own.",
        learned=True,
        generative=True,
    ),
    Method(
        "unoranic",
        "unORANIC: corruption removal (generative)",
        "restoration:unoranic",
        "A trained autoencoder draws each slice anew without bias, blur and noise, on the same grid; 2D, for pictures "
        "of 28 x 28 in the paper, the result is not measured data; needs a model of your own.",
        learned=True,
        generative=True,
        consistent=False,
        same_grid=True,
    ),
    Method(
        "dlest",
        "DLEST: harmonization (generative)",
        "restoration:dlest",
        "A trained autoencoder draws each slice anew in the style of another scanner, on the same grid; 2D, meant for "
        "T1 brains without skull, the result is not measured data; needs a model of your own.",
        learned=True,
        generative=True,
        consistent=False,
        same_grid=True,
    ),
)
METHODS: dict[str, Method] = {method.name: method for method in _EVERY}
"""Name to method, in the order of the panel's list."""
