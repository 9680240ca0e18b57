"""Values of a MONAI bundle's configuration, without running the Python expressions that it may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError

_REFERENCE = re.compile(r"^@[\w:#]+$")
_DEPTH = 16
TARGET = "_target_"


class BundleConfig:
    """A parsed configuration.

    Args:
        values: of the JSON file.
        path: of it, for messages.
    """

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self.values, self.path = values, path

    def get(self, name: str) -> Any:
        """The value of a top-level name, with references replaced; None if there is none."""
        return self.resolved(self.values[name]) if name in self.values else None

    def resolved(self, value: Any, depth: int = 0) -> Any:
        """A value in which ``@name`` and ``@name::part`` are replaced by what they name, and ``$`` before plain Python
        values is taken off. Other expressions stay as they are: who needs them calls :meth:`plain`.

        Raises:
            ModelError: a reference leads nowhere or in a circle.
        """
        if depth > _DEPTH:
            raise ModelError(f"{self.path}: its references ({value}) go in a circle.")
        if isinstance(value, Mapping):
            return {key: self.resolved(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolved(inner, depth + 1) for inner in value]
        if not isinstance(value, str):
            return value
        if _REFERENCE.match(value):
            return self.resolved(self._named(value), depth + 1)
        if value.startswith("$"):
            try:
                found = ast.literal_eval(value[1:].strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return value
            return list(found) if isinstance(found, tuple) else found
        return value

    def _named(self, reference: str) -> Any:
        found: Any = self.values
        for part in re.split(r"::|#", reference[1:]):
            try:
                found = found[int(part)] if isinstance(found, list) else found[part]
            except (KeyError, IndexError, TypeError, ValueError):
                raise ModelError(f"{self.path}: {reference} names nothing in it.") from None
        return found

    def plain(self, value: Any, what: str) -> Any:
        """The value, if nothing in it is an expression.

        Raises:
            ModelError: something is.
        """
        for inner in _leaves(value):
            if isinstance(inner, str) and inner.startswith(("$", "@", "%")):
                raise ModelError(
                    f"{self.path}: {what} is the expression {inner!r}, which MedAI does not run. Write its value there."
                )
        return value


def target_of(value: Any) -> str:
    """Name of the class that an entry makes, without its module; empty if it makes none."""
    return str(value.get(TARGET, "")).rsplit(".", 1)[-1] if isinstance(value, Mapping) else ""


def _leaves(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, (list, tuple)):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [value]
