"""Which label codes make up which class, which are mirror images, and which share an appearance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError


@dataclass(frozen=True)
class ClassTable:
    """The codes of the label maps and what a network is to make of them.

    Codes are kept as their index in :attr:`codes`, so that a label map is an array of bytes. Index 0 is code 0,
    the background outside the head.

    Attributes:
        codes: every code of the label maps, ascending, beginning with 0.
        classes: the code that a model reports for each class; class 0 is the background; None for a class that is
            predicted but not reported.
        target: (codes,) class of each code.
        mirror: (codes,) index of the code on the other side; itself if it has no side.
        tissue: (codes,) number of the appearance group; both sides share one.
        tissues: name of each appearance group.
        outside: (codes,) True for what a skull stripping takes away.
        fluid: (codes,) True for the fluid around the brain, which some skull strippings keep.
    """

    codes: np.ndarray
    classes: tuple[int | None, ...]
    target: np.ndarray
    mirror: np.ndarray
    tissue: np.ndarray
    tissues: tuple[str, ...]
    outside: np.ndarray
    fluid: np.ndarray

    @property
    def mirror_class(self) -> np.ndarray:
        """(classes,) class of the other side."""
        result = np.arange(len(self.classes))
        result[self.target] = self.target[self.mirror]
        return result

    def encode(self, labels: np.ndarray, name: str) -> np.ndarray:
        """Codes to indices, uint8, same shape.

        Raises:
            UsageError: a code is not in the table.
        """
        present = np.unique(labels)
        unknown = sorted(set(present.tolist()) - set(self.codes.tolist()))
        if unknown:
            raise UsageError(
                f"{name} has label codes that the recipe does not name: {unknown}. Add them or leave it out."
            )
        lookup = np.zeros(int(self.codes.max()) + 1, np.uint8)
        lookup[self.codes] = np.arange(len(self.codes))
        return lookup[labels]

    @classmethod
    def from_recipe(
        cls,
        classes: Sequence[Mapping[str, Any]],
        tissues: Mapping[str, Sequence[int]],
        pairs: Sequence[Sequence[int]],
        outside: Sequence[int],
        fluid: Sequence[int],
    ) -> ClassTable:
        """Build the table from a recipe's lists of codes.

        Args:
            classes: in class order from class 1, each with ``from`` (codes) and ``report`` (code or None).
            tissues: appearance groups, name to codes; code 0 has its own.
            pairs: (left, right) codes that are each other's mirror image.
            outside: codes that a skull stripping takes away.
            fluid: the fluid among them.

        Raises:
            UsageError: a code is in two classes or in no tissue, a pair names a code of no class, or some codes of a
                class lack their mirror image.
        """
        target_of = {0: 0}
        for number, entry in enumerate(classes, 1):
            for code in entry["from"]:
                if code in target_of:
                    raise UsageError(f"Label code {code} is in two classes of the recipe.")
                target_of[int(code)] = number
        codes = np.array(sorted(target_of), np.int64)
        index = {int(code): n for n, code in enumerate(codes)}
        tissue_of = {int(code): n for n, group in enumerate(tissues.values(), 1) for code in group} | {0: 0}
        missing = sorted(set(index) - set(tissue_of))
        if missing:
            raise UsageError(f"Label codes {missing} are in no tissue of the recipe.")
        unknown = sorted({int(code) for pair in pairs for code in pair} - set(index))
        if unknown:
            raise UsageError(f"Label codes {unknown} of the recipe's pairs are in no class.")
        mirror = np.arange(len(codes))
        for left, right in pairs:
            mirror[index[left]], mirror[index[right]] = index[right], index[left]
        target = np.array([target_of[int(code)] for code in codes], np.int64)
        across = {(int(a), int(b)) for a, b in zip(target, target[mirror], strict=True)}
        torn = [int(code) for code, one in zip(codes, target, strict=True) if sum(a == one for a, _ in across) > 1]
        if torn:
            raise UsageError(f"Of label codes {torn}, of one class, some are paired with the other side and some not.")
        if len(codes) > 256:
            raise UsageError("A recipe can name 256 label codes at most.")
        return cls(
            codes=codes,
            classes=(0, *(entry["report"] for entry in classes)),
            target=target,
            mirror=mirror,
            tissue=np.array([tissue_of[int(code)] for code in codes], np.int64),
            tissues=("background", *tissues),
            outside=np.isin(codes, outside),
            fluid=np.isin(codes, fluid),
        )
