"""The recipe of a promptable network's training: one JSON file with ``"task": "clicks"``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import UsageError
from ..config import TrainingSettings, reading_recipe, settings_from, training_from
from ..generator import GeneratorSettings
from ..recipe import generator_from

_KIND = "a network that answers clicks"


@dataclass(frozen=True)
class ClickData:
    """What is trained on, all paths relative to the data folder.

    Attributes:
        maps: globs of label maps, which are painted in random contrast.
        scans: (image, labels) of real scans.
        held_out: paths of maps, and of images of scans, that are only validated on. None of them is trained on.
        ignored: codes that are painted but not looked for, because they are no objects, e.g. clusters of gray values.
        source, license: of all, for the card.
    """

    maps: tuple[str, ...] = ()
    scans: tuple[tuple[str, str], ...] = ()
    held_out: tuple[str, ...] = ()
    ignored: tuple[int, ...] = ()
    source: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        if not self.maps and not self.scans:
            raise UsageError("neither maps nor scans are named.")
        if any(len(pair) != 2 for pair in self.scans):
            raise UsageError("each of the scans is a pair: image and labels.")


@dataclass(frozen=True)
class TargetSettings:
    """Which objects are to be found, and where they lie in the region.

    Attributes:
        real: share of the samples that come from scans, the others from painted maps; what is missing of one kind
            comes from the other.
        recolored: of the real ones, share whose structures get another brightness each.
        extreme: share of the samples in which one structure is far brighter or darker than all others.
        painted: share of the samples whose object is a blob, a tube or a shell drawn into the image.
        union: share of the others whose object is several structures.
        cut: share that is cut off by a plane.
        centered: share of the samples whose object lies in the middle; the others have a voxel of it there.
        side: range of the region's side over the object's, drawn evenly on a logarithmic scale.
        spacing: range of the region's voxels, mm.
    """

    real: float = 0.5
    recolored: float = 0.25
    extreme: float = 0.2
    painted: float = 0.12
    union: float = 0.12
    cut: float = 0.08
    centered: float = 0.55
    side: tuple[float, float] = (0.35, 3.0)
    spacing: tuple[float, float] = (0.4, 8.0)

    def __post_init__(self) -> None:
        if not (0.0 < self.side[0] <= self.side[1] and 0.0 < self.spacing[0] <= self.spacing[1]):
            raise UsageError("side and spacing must be ranges above 0.")


@dataclass(frozen=True)
class RoundSettings:
    """How the simulated user goes on.

    Attributes:
        rounds: prompts per sample, each answered and learned from.
        degraded: share of the samples that begin with a mask that is wrong.
        right: of these, share whose mask is right, so that nothing may change.
        middle: share of the points at the deepest place of the error; the others lie anywhere in it.
        stroke: share of the prompts that are short strokes.
        box: share of the samples that begin with a box.
        wrong: share of the points that miss by up to ``miss`` voxels.
        miss: see ``wrong``.
    """

    rounds: int = 3
    degraded: float = 0.35
    right: float = 0.2
    middle: float = 0.65
    stroke: float = 0.15
    box: float = 0.12
    wrong: float = 0.04
    miss: int = 3

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UsageError("rounds must be 1 or more.")


@dataclass(frozen=True)
class ClickSettings:
    """The parts of a sample, and the regions.

    Attributes:
        regions: ((share of the budget, side in voxels), …): from which share on which regions are trained on. Sides
            below three times the network's ``multiple`` are for tests: on a CPU, the gradients of bfloat16 convolutions
            over 2 x 2 x 2 voxels were found not to be finite.
        targets, rounds: see there.
        balance: of the cross-entropy, see :class:`~MedAILib.training.losses.DiceCrossEntropy`.
    """

    regions: tuple[tuple[float, int], ...] = ((0.0, 48),)
    targets: TargetSettings = field(default_factory=TargetSettings)
    rounds: RoundSettings = field(default_factory=RoundSettings)
    balance: float = 0.25

    def __post_init__(self) -> None:
        if not self.regions or self.regions[0][0] > 0:
            raise UsageError("the first of the regions must begin at share 0 of the budget.")

    def side(self, fraction: float) -> int:
        """Of the regions at this share of the budget."""
        return [side for start, side in self.regions if start <= fraction][-1]


@dataclass(frozen=True)
class ClicksRecipe:
    """A training run as a whole.

    Attributes:
        name: of the recipe, for the card.
        network, arguments: for :func:`MedAILib.networks.build`.
        data: label maps and scans.
        clicks: objects, prompts, regions.
        generator: deformation, contrast and artefacts.
        training: how the optimizer goes on.
        card: what only people know (title, limits, citations), for the card.
    """

    name: str
    network: str
    arguments: Mapping[str, Any]
    data: ClickData
    clicks: ClickSettings
    generator: GeneratorSettings
    training: TrainingSettings
    card: Mapping[str, Any]


def clicks_recipe_from(values: Mapping[str, Any], name: str) -> ClicksRecipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: something is missing, unknown or contradictory; the message says what.
    """
    with reading_recipe(values, name, "clicks", _KIND):
        given = dict(values.get("clicks", {}))
        parts = {
            "targets": settings_from(TargetSettings, given.pop("targets", {}), f"{name}: clicks.targets"),
            "rounds": settings_from(RoundSettings, given.pop("rounds", {}), f"{name}: clicks.rounds"),
        }
        return ClicksRecipe(
            name=name.removesuffix(".json"),
            network=values["network"]["name"],
            arguments=values["network"]["arguments"],
            data=settings_from(ClickData, values["data"], f"{name}: data"),
            clicks=settings_from(ClickSettings, {**given, **parts}, f"{name}: clicks"),
            generator=generator_from(values.get("generator", {}), f"{name}: generator"),
            training=training_from(values, name, _KIND),
            card=values.get("card", {}),
        )
