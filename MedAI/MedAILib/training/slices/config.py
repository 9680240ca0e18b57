"""The recipe of a model that restores slices: one JSON file with ``"task": "slices"``.

The bundled recipes are smaller than the papers, so that two CPU cores get through them: unORANIC with 8 instead of 64
pictures per step, DLEST with 8 to 64 instead of 64 to 256 filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import UsageError
from ...superres.request import AXES
from ..artefacts import ArtefactSettings
from ..config import TrainingSettings, reading_recipe, settings_from, training_from

_KIND = "a model that restores slices"


@dataclass(frozen=True)
class SliceSettings:
    """Which volumes are used, and which slices of them.

    Attributes:
        pattern: glob of the volumes in the data folder.
        target: glob of the volumes of the target site, for DLEST; the others are the source sites.
        held_out: names without ending of volumes that are only validated on.
        axis: voxel axis that the slices follow each other along; "auto" for the one with the largest spacing.
        middle: share of the slices around the middle of a volume that are used. The DLEST paper takes 10 slices; all,
            because a whole volume is to be restored afterwards.
        source, license: of the volumes, for the card.
    """

    pattern: str = "**/*.nii.gz"
    target: str = ""
    held_out: tuple[str, ...] = ()
    axis: str = "auto"
    middle: float = 1.0
    source: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise UsageError(f"axis must be one of {', '.join(AXES)}.")
        if not 0.0 < self.middle <= 1.0:
            raise UsageError("middle must be above 0 and 1 at most.")


@dataclass(frozen=True)
class UnoranicSettings:
    """What Doerrich et al. 2023 leave open, and their number of variants.

    Attributes:
        crop: side of the pictures, divisible by 16; 28, the whole picture, in the paper.
        variants: S and the further ones; 3 in the paper.
        reconstruction, consistency: λ of Eq. 4. The paper gives neither; the authors' program has 1 and 1, with
            ``squared``.
        squared: mean squares, as the authors' program has them, for the norms that Eq. 1 to 3 print without a square.
        artefacts: how a picture is corrupted; the paper takes any augmentation of the Albumentations library.
    """

    crop: int = 64
    variants: int = 3
    reconstruction: float = 1.0
    consistency: float = 1e-4
    squared: bool = False
    artefacts: ArtefactSettings = field(default_factory=ArtefactSettings)

    def __post_init__(self) -> None:
        if self.variants < 2 or self.crop < 16:
            raise UsageError("variants must be 2 or more, and crop 16 or more.")
        if min(self.reconstruction, self.consistency) < 0.0:
            raise UsageError("reconstruction and consistency must be 0 or more.")


@dataclass(frozen=True)
class DlestSettings:
    """What Wu et al. 2023 leave open; T and η belong to the network.

    Attributes:
        penalty: γ of R1.
        latent, pixel: weights of Eq. 1 and 2, whose sum the paper prints without any.
        content, cycle: α and β of Eq. 10. More α keeps more of the content; β matters little, says the paper.
        generation: share of the budget for the first stage (SIG); the second (SST) gets the rest.
        noise: factor of √η·ε in the dynamics while the energy is trained; 1 in the paper.
    """

    penalty: float = 1.0
    latent: float = 1.0
    pixel: float = 10.0
    content: float = 1.0
    cycle: float = 1.0
    generation: float = 0.8
    noise: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.generation < 1.0:
            raise UsageError("generation must lie between 0 and 1.")
        if min(self.penalty, self.latent, self.pixel, self.content, self.cycle, self.noise) < 0.0:
            raise UsageError("penalty, latent, pixel, content, cycle and noise must be 0 or more.")


Losses = UnoranicSettings | DlestSettings


@dataclass(frozen=True)
class SliceRecipe:
    """A training run as a whole.

    Attributes:
        name: of the recipe, for the card.
        network, arguments: for :func:`MedAILib.networks.build`.
        data: volumes and slices.
        losses: of the method that the network belongs to.
        training: how the optimizer goes on.
    """

    name: str
    network: str
    arguments: Mapping[str, Any]
    data: SliceSettings
    losses: Losses
    training: TrainingSettings


def slice_recipe_from(values: Mapping[str, Any], name: str) -> SliceRecipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: something is missing, unknown or contradictory; the message says what.
    """
    with reading_recipe(values, name, "slices", _KIND):
        recipe = SliceRecipe(
            name=name.removesuffix(".json"),
            network=values["network"]["name"],
            arguments=values["network"]["arguments"],
            data=settings_from(SliceSettings, values["data"], f"{name}: data"),
            losses=_losses(values, name),
            training=training_from(values, name, _KIND),
        )
    if isinstance(recipe.losses, DlestSettings) and not recipe.data.target:
        raise UsageError(f'{name}: data: target is missing: which volumes are of the target site, e.g. "target/*".')
    return recipe


def _losses(values: Mapping[str, Any], name: str) -> Losses:
    network, given = values["network"]["name"], dict(values.get("losses", {}))
    if network == "dlest":
        return settings_from(DlestSettings, given, f"{name}: losses")
    if network == "unoranic":
        artefacts = settings_from(ArtefactSettings, values.get("artefacts", {}), f"{name}: artefacts")
        return settings_from(UnoranicSettings, {**given, "artefacts": artefacts}, f"{name}: losses")
    raise UsageError(f'{name}: the network "{network}" does not restore slices; "unoranic" and "dlest" do.')
