"""The recipe of a segmentation network that learns from label maps alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..geometry import Shape
from .artefacts import ArtefactSettings
from .classes import ClassTable
from .config import TrainingSettings, load_values, reading_recipe, settings_from
from .contrast import ContrastSettings
from .deform import DeformSettings
from .generator import GeneratorSettings


@dataclass(frozen=True)
class DataSettings:
    """Which files of the data folder are used.

    Attributes:
        pattern: glob of the label maps.
        held_out: names without ending of maps that are never trained on.
        source: where they come from, for the model's card.
        license: theirs, for the model's card.
    """

    pattern: str
    held_out: tuple[str, ...] = ()
    source: str = ""
    license: str = ""


@dataclass(frozen=True)
class ValidationSettings:
    """Synthetic images of the maps held out.

    Attributes:
        samples: how many; 0 switches validation off.
        shape: of each.
        seed: fixed, so that all points of the curve see the same images.
    """

    samples: int = 6
    shape: Shape = (96, 96, 96)
    seed: int = 1_000_003


@dataclass(frozen=True)
class Recipe:
    """A training run as a whole.

    Attributes:
        network: name and arguments for :func:`MedAILib.networks.build`.
        card: what goes into the model's card as it stands.
        table: codes and classes.
    """

    network: str
    arguments: Mapping[str, Any]
    data: DataSettings
    table: ClassTable
    generator: GeneratorSettings
    training: TrainingSettings
    validation: ValidationSettings
    card: Mapping[str, Any] = field(default_factory=dict)


def generator_from(values: Mapping[str, Any], where: str) -> GeneratorSettings:
    """The generator's settings with their parts; raises as :func:`settings_from`."""
    parts: dict[str, type] = {"deform": DeformSettings, "contrast": ContrastSettings, "artefacts": ArtefactSettings}
    nested: dict[str, Any] = {
        name: settings_from(cls, values.get(name, {}), f"{where}.{name}") for name, cls in parts.items()
    }
    return settings_from(GeneratorSettings, {**values, **nested}, where)


def recipe_from(values: Mapping[str, Any], name: str) -> Recipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: something is missing, unknown or contradictory; the message says what.
    """
    with reading_recipe(values, name, "segmentation", "a segmentation network"):
        table = table_from(values)
        recipe = Recipe(
            network=values["network"]["name"],
            arguments=values["network"]["arguments"],
            data=settings_from(DataSettings, values["data"], f"{name}: data"),
            table=table,
            generator=generator_from(values["generator"], f"{name}: generator"),
            training=settings_from(TrainingSettings, values["training"], f"{name}: training"),
            validation=settings_from(ValidationSettings, values["validation"], f"{name}: validation"),
            card=values.get("card", {}),
        )
    if recipe.arguments.get("classes") != len(table.classes):
        raise UsageError(
            f"{name}: the network has {recipe.arguments.get('classes')} classes, the recipe {len(table.classes)}."
        )
    return recipe


def table_from(values: Mapping[str, Any]) -> ClassTable:
    """The class table of parsed JSON.

    Raises:
        KeyError: a part is missing.
        UsageError: its parts contradict each other.
    """
    return ClassTable.from_recipe(
        values["classes"], values["tissues"], values["pairs"], values["outside"], values["fluid"]
    )


def load_recipe(config: str | Path) -> Recipe:
    """Read a segmentation recipe: a file, or the name of a bundled one, e.g. ``"brain-mr"``.

    Raises:
        ReadError: there is no such file, or it is no JSON.
        UsageError: it is no recipe.
    """
    values, name = load_values(config)
    return recipe_from(values, name)
