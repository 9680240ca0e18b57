"""Whose image a case is, as far as its name tells: images of one subject are never on both sides of a split."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import UsageError

_BIDS = re.compile(r"(sub-[0-9a-zA-Z]+)")
_REPEATED = re.compile(
    r"[-_.](?:im|img|image|frame|fr|slice|sl|time|t|phase|ses|session|visit|scan|run|echo|view|z)[-_]?\d.*$",
    re.IGNORECASE,
)


def subject_of(name: str, pattern: str | None = None) -> str:
    """The subject of a case.

    Args:
        name: of the case, e.g. ``"patient01_frame07"`` (subject ``"patient01"``) or BIDS' ``"sub-01_ses-2_T1w"``.
            Without such a part, the case is a subject of its own.
        pattern: regular expression whose first group is the subject, for other names.

    Raises:
        UsageError: the pattern is none, or does not match.
    """
    if pattern is not None:
        try:
            found = re.search(pattern, name)
        except re.error as error:
            raise UsageError(f"The pattern {pattern!r} for subjects is no regular expression: {error}.") from error
        if not found or not found.groups():
            raise UsageError(f"The pattern {pattern!r} finds no subject (its first group) in the name {name}.")
        return found.group(1)
    bids = _BIDS.match(name)
    return bids.group(1) if bids else _REPEATED.sub("", name) or name


def by_subject(names: Sequence[str], pattern: str | None = None) -> dict[str, list[str]]:
    """Subject to the names of its cases, in order of first appearance; raises as :func:`subject_of`."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(subject_of(name, pattern), []).append(name)
    return groups
