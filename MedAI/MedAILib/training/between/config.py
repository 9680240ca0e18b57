"""The recipe of a HiFi-Diff model's training: one JSON file with ``"task": "between"``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...superres.profiles import PROFILES
from ..config import TrainingSettings, reading_recipe, settings_from


@dataclass(frozen=True)
class BetweenSettings:
    """Which volumes are used, and what is learned from them.

    Attributes:
        pattern: glob of the volumes in the data folder; they should be nearly isotropic and of one contrast.
        held_out: names without ending of volumes that are only validated on.
        axes: array axes (k, j, i as 0, 1, 2) along which slices are simulated.
        ratios: how many fine slices lie between the centers of two thick ones; 2, 3 and 4 in the paper.
        profile: of the thick slices; "none" drops slices instead, as in the paper.
        crop: side of the pictures; divisible by what the network asks for.
        diffusion_steps: T.
        source, license: of the volumes, for the card.
    """

    pattern: str = "*.nii.gz"
    held_out: tuple[str, ...] = ()
    axes: tuple[int, ...] = (0, 1, 2)
    ratios: tuple[int, ...] = (2, 3, 4)
    profile: str = "gaussian"
    crop: int = 96
    diffusion_steps: int = 1000
    source: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        if self.profile not in (*PROFILES, "none"):
            raise UsageError(f'profile must be "none" or one of {", ".join(PROFILES)}.')
        if not self.axes or not set(self.axes) <= {0, 1, 2}:
            raise UsageError("axes must name some of 0, 1 and 2.")
        if not self.ratios or min(self.ratios) < 2 or self.crop < 8 or self.diffusion_steps < 2:
            raise UsageError("ratios and diffusion_steps must be 2 or more, and crop 8 or more.")


@dataclass(frozen=True)
class BetweenRecipe:
    """A training run as a whole.

    Attributes:
        name: of the recipe, for the card.
        network, arguments: for :func:`MedAILib.networks.build`.
        data: volumes and slices.
        training: how the optimizer goes on.
    """

    name: str
    network: str
    arguments: Mapping[str, Any]
    data: BetweenSettings
    training: TrainingSettings


def between_recipe_from(values: Mapping[str, Any], name: str) -> BetweenRecipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: something is missing, unknown or contradictory; the message says what.
    """
    with reading_recipe(values, name, "between", "a model that generates slices"):
        return BetweenRecipe(
            name=name.removesuffix(".json"),
            network=values["network"]["name"],
            arguments=values["network"]["arguments"],
            data=settings_from(BetweenSettings, values["data"], f"{name}: data"),
            training=settings_from(TrainingSettings, values["training"], f"{name}: training"),
        )
