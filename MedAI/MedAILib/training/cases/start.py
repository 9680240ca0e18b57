"""Training that begins with a model instead of random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...errors import ModelError
from ...labels import Label
from ...models import ModelCard, load_network
from ...models.store import ModelStore
from ...networks import build
from .network import fitted_arguments

RATE = 0.3
"""Learning rate of a training that begins with a model, relative to the recipe's."""


@dataclass(frozen=True)
class Start:
    """What was taken over from a model.

    Attributes:
        card: of the model.
        taken, all: tensors of the network that it gave, of how many.
        classes: names of the classes whose outputs it gave.
    """

    card: ModelCard
    taken: int
    all: int
    classes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For the new model's card."""
        return {
            "model": self.card.name,
            "version": self.card.version,
            "sha256": self.card.sha256,
            "license": self.card.license,
            "tensors": f"{self.taken} of {self.all}",
            "classes": list(self.classes),
        }

    def text(self) -> str:
        """For the log."""
        known = f"; it knows {', '.join(self.classes)}" if self.classes else "; its outputs are new"
        return f"Begun with {self.card.name} {self.card.version}: {self.taken} of {self.all} tensors{known}."


def start_card(name: str, network: str, arguments: Mapping[str, Any]) -> ModelCard:
    """The card of the model to begin with.

    Args:
        name: of an installed model, or path of a model folder.
        network, arguments: of the recipe.

    Raises:
        ModelError: there is no such model, or it is of another network.
    """
    card = ModelStore().find(name)
    inner = card.network_arguments.get("network"), arguments.get("network")  # what a "slicewise" one runs on slices
    if card.network != network or inner[0] != inner[1]:
        raise ModelError(
            f"The model {card.name} is a {card.network!r}, the recipe trains a {network!r}; begin with a model of the "
            "same network, or take the recipe of that network."
        )
    return card


def start_arguments(card: ModelCard, inputs: int, classes: int, cases: int) -> dict[str, Any]:
    """The model's arguments, but for what follows from the data."""
    own = {name: value for name, value in card.network_arguments.items() if name not in ("inputs", "classes", "cases")}
    return fitted_arguments(card.network, own, inputs, classes, cases)


def take_over(network: nn.Module, card: ModelCard, arguments: Mapping[str, Any], table: Sequence[Label]) -> Start:
    """Put a model's weights into a network, as far as they fit.

    Outputs are taken class by class: background from background, a class from the one of the same name. What depends on
    the number of classes is found by building the network with one class more.

    Args:
        network: with fresh weights; changed.
        card: of the model.
        arguments: of ``network``'s constructor.
        table: its classes 1, 2, … in order.
    """
    old = load_network(card).state_dict()
    new = network.state_dict()
    known = {label.name.lower(): number for number, label in enumerate(card.classes, 1)}
    rows = [0, *(known.get(label.name.lower()) for label in table)]
    by_class = class_axes(card.network, arguments, len(rows))
    taken = 0
    for name, value in new.items():
        given = old.get(name)
        if given is None:
            continue
        axis = by_class.get(name)
        if axis is None:
            fits = given.shape == value.shape
            if fits:
                value.copy_(given)
            taken += fits
        elif given.ndim == value.ndim and given.shape[axis] == len(card.classes) + 1:
            pairs = [(n, row) for n, row in enumerate(rows) if row is not None]
            to, of = (torch.tensor([pair[side] for pair in pairs]) for side in (0, 1))
            part = given.index_select(axis, of)
            if part.shape == value.index_select(axis, to).shape:
                value.index_copy_(axis, to, part.to(value.dtype))
                taken += 1
    classes = tuple(label.name for label, row in zip(table, rows[1:], strict=True) if row is not None)
    return Start(card, taken, len(new), classes)


def class_axes(network: str, arguments: Mapping[str, Any], classes: int) -> dict[str, int]:
    """The tensors whose size follows from the number of classes, and along which axis.

    Args:
        network: its name.
        arguments: of its constructor.
        classes: background included, as in ``arguments``.
    """
    if "classes" not in arguments:
        return {}
    here = build(network, dict(arguments)).state_dict()
    there = build(network, {**arguments, "classes": classes + 1}).state_dict()
    axes = {}
    for name, value in here.items():
        other = there.get(name)
        if other is None or other.ndim != value.ndim or other.shape == value.shape:
            continue
        changed = [axis for axis in range(value.ndim) if value.shape[axis] != other.shape[axis]]
        if len(changed) == 1 and value.shape[changed[0]] == classes:
            axes[name] = changed[0]
    return axes
