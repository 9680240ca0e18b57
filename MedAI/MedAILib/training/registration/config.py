"""The recipe of a registration network's training: one JSON file with ``"task": "registration"``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...geometry import Shape, Spacing
from ..classes import ClassTable
from ..config import TrainingSettings, reading_recipe, settings_from, training_from
from ..generator import GeneratorSettings
from ..recipe import generator_from, table_from

KINDS = ("shapes", "label_maps", "images")
_KIND = "a registration network"


@dataclass(frozen=True)
class PairData:
    """Where pairs come from.

    Attributes:
        kind: ``"shapes"``: random shapes, no files; ``"label_maps"``: both images are made from a file's label map;
            ``"images"``: files that lie affinely aligned, two at a time.
        pattern: glob of the files in the data folder.
        labels: folder in the data folder with label maps of the images, of the same file names; ``"images"`` only.
        pairs: (fixed, moving) names without ending; empty: any two images.
        held_out: names without ending of files that are never trained on.
        shapes: number of different shapes; ``"shapes"`` only.
        spacing: voxel size that images are brought to, mm; ``"images"`` only.
        source, license: of the files, for the trained network's card.
    """

    kind: str
    pattern: str = "*.nii.gz"
    labels: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    held_out: tuple[str, ...] = ()
    shapes: int = 26
    spacing: Spacing = (1.0, 1.0, 1.0)
    source: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f'kind must be one of {", ".join(KINDS)}, not "{self.kind}".')
        if not 2 <= self.shapes <= 255:
            raise UsageError(f"shapes must be 2 to 255, not {self.shapes}.")


@dataclass(frozen=True)
class PairSettings:
    """What a registration network is trained for.

    The loss is (1−λ)·(1 − similarity) + λ·penalty, λ = ``smoothness``, as in the NIO paper's Eq. 3.

    Attributes:
        shape: of the pairs, divisible by what the network asks for.
        smoothness: range from which λ is drawn for each step; a conditional network is told which.
        levels: ((share of the budget, level), …): up to which level of a pyramid is trained from which share on; a
            network that has none ignores it.
        image_weight: of the local correlation in the similarity; 0 for images of unlike contrast.
        label_weight: of the Dice of the labels in it; the images themselves never need labels.
        window: side of the local correlation's window.
        regularization: ``"explicit"``: the penalty is the unevenness of the displacement; a method of
            :func:`MedAILib.registration.regularization.smooth`: the penalty of paper 14,
            :func:`~MedAILib.registration.regularization.implicit_penalty`.
        gamma, sigma: of the latter.
        labels_per_step: at most so many classes, drawn at random, count in a step, because each takes an image's
            memory.
        across: probability that the two images of a synthetic pair come from different label maps.
        validation_pairs: how many; 0 switches validation off.
        validation_seed: fixed, so that all points of the curve see the same pairs.
    """

    shape: Shape = (64, 64, 64)
    smoothness: tuple[float, float] = (0.4, 0.4)
    levels: tuple[tuple[float, int], ...] = ((0.0, 1), (0.25, 2), (0.5, 3))
    image_weight: float = 0.0
    label_weight: float = 1.0
    window: int = 7
    regularization: str = "explicit"
    gamma: float = 2.0
    sigma: float = 1.0
    labels_per_step: int = 8
    across: float = 0.0
    validation_pairs: int = 4
    validation_seed: int = 1_000_003

    def __post_init__(self) -> None:
        if not 0 <= self.smoothness[0] <= self.smoothness[1] <= 1:
            raise UsageError("smoothness must be a range inside 0 to 1.")
        if not self.levels or self.levels[0][0] > 0:
            raise UsageError("The first entry of levels must begin at share 0 of the budget.")
        if min(self.image_weight, self.label_weight) < 0 or self.image_weight + self.label_weight == 0:
            raise UsageError("image_weight and label_weight must be 0 or more, and one of them above 0.")
        if self.window < 3 or self.window % 2 == 0:
            raise UsageError("window must be an odd number, 3 or more.")

    def level(self, fraction: float) -> int:
        """The finest level that takes part at this share of the budget."""
        return [level for start, level in self.levels if start <= fraction][-1]


@dataclass(frozen=True)
class RegistrationRecipe:
    """A training run as a whole.

    Attributes:
        name: of the recipe, for the trained network's card.
        network, arguments: for :func:`MedAILib.networks.build`.
        data: where pairs come from.
        pairs: what is asked of the network.
        generator: ranges of the synthetic images and of their deformations; the displacement between the two images
            of a pair is the difference of two draws.
        table: codes of the label maps; None: each code is a class and a tissue of its own.
        training: how the optimizer goes on.
    """

    name: str
    network: str
    arguments: Mapping[str, Any]
    data: PairData
    pairs: PairSettings
    generator: GeneratorSettings
    table: ClassTable | None
    training: TrainingSettings


def _unmirrored(values: Mapping[str, Any], where: str) -> GeneratorSettings:
    """No displacement leads from an image to its mirror image, so a pair's images are never mirrored."""
    deform = values.get("deform", {})
    if deform.get("flip", 0) != 0:
        raise UsageError(f"{where}.deform: flip cannot be set for a registration network.")
    return generator_from({**values, "deform": {**deform, "flip": 0.0}}, where)


def registration_recipe_from(values: Mapping[str, Any], name: str) -> RegistrationRecipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: something is missing, unknown or contradictory; the message says what.
    """
    with reading_recipe(values, name, "registration", _KIND):
        return RegistrationRecipe(
            name=name.removesuffix(".json"),
            network=values["network"]["name"],
            arguments=values["network"]["arguments"],
            data=settings_from(PairData, values["data"], f"{name}: data"),
            pairs=settings_from(PairSettings, values["pairs"], f"{name}: pairs"),
            generator=_unmirrored(values.get("generator", {}), f"{name}: generator"),
            table=table_from({**values, "pairs": values.get("mirror", [])}) if "classes" in values else None,
            training=training_from(values, name, _KIND),
        )
