"""The recipe of a super-resolution network's training: one JSON file with ``"task": "superres"``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...superres.profiles import PROFILES
from ..config import TrainingSettings, reading_recipe, settings_from, training_from

_KIND = "a super-resolution network"


@dataclass(frozen=True)
class ScanData:
    """Which scans are trained on.

    Attributes:
        files: paths in the data folder. Of an isotropic volume the pictures of all three directions are used, of thick
            slices only the slices themselves.
        held_out: paths of scans that are only validated on; must not be among ``files``.
        source: where they come from, for the card.
        license: theirs, for the card.
    """

    files: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    source: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        both = sorted(set(self.files) & set(self.held_out))
        if both:
            raise UsageError(f"{', '.join(both)}: a scan cannot be trained on and held out.")
        if not self.files:
            raise UsageError("files names no scan to train on.")


@dataclass(frozen=True)
class AcquisitionRange:
    """How the simulated slices are taken; drawn anew for each geometry.

    Attributes:
        thickness: range in pixels, drawn evenly on a logarithmic scale.
        contiguous, halved: probabilities that the slices lie side by side, and that each overlaps half of the next;
            else the slice distance is drawn from ``distance``.
        distance: range of the slice distance over the thickness.
        profiles: probability of each profile.
        noisy: probability of noise.
        noise: range of its standard deviation, pictures being about -1 to 1, on a logarithmic scale.
        inverted: probability that bright and dark are exchanged.
        slices, width: of a crop.
        geometries: per step, each with ``batch`` crops.
    """

    thickness: tuple[float, float] = (2.5, 8.0)
    contiguous: float = 0.55
    halved: float = 0.25
    distance: tuple[float, float] = (0.45, 1.3)
    profiles: Mapping[str, float] | None = None
    noisy: float = 0.3
    noise: tuple[float, float] = (0.005, 0.08)
    inverted: float = 0.25
    slices: int = 24
    width: int = 96
    geometries: int = 2

    def __post_init__(self) -> None:
        unknown = sorted(set(self.profiles or ()) - set(PROFILES))
        if unknown:
            raise UsageError(f"there is no slice profile {', '.join(unknown)}; known: {', '.join(PROFILES)}")
        for name in ("thickness", "distance", "noise"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise UsageError(f"{name} must be a range above 0")
        if self.geometries < 1 or self.contiguous + self.halved > 1.0:
            raise UsageError("geometries must be 1 or more, and contiguous and halved together 1 at most")


@dataclass(frozen=True)
class SuperresRecipe:
    """A training run as a whole.

    Attributes:
        name: of the recipe, for the card.
        network, arguments: for :func:`MedAILib.networks.build`.
        data: the scans.
        acquisition: of the simulated slices.
        training: how the optimizer goes on.
        card: what only people know (title, limits, citations), for the card.
    """

    name: str
    network: str
    arguments: Mapping[str, Any]
    data: ScanData
    acquisition: AcquisitionRange
    training: TrainingSettings
    card: Mapping[str, Any]


def superres_recipe_from(values: Mapping[str, Any], name: str) -> SuperresRecipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: something is missing, unknown or contradictory; the message says what.
    """
    with reading_recipe(values, name, "superres", _KIND):
        return SuperresRecipe(
            name=name.removesuffix(".json"),
            network=values["network"]["name"],
            arguments=values["network"]["arguments"],
            data=settings_from(ScanData, values["data"], f"{name}: data"),
            acquisition=settings_from(AcquisitionRange, values.get("acquisition", {}), f"{name}: acquisition"),
            training=training_from(values, name, _KIND),
            card=values.get("card", {}),
        )
