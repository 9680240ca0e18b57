"""What a request may say, checked as soon as it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import UsageError


def check_choices(request: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """See that each attribute is one of its choices.

    Raises:
        UsageError: one is not; the message names it and the choices.
    """
    for name, allowed in choices.items():
        if getattr(request, name) not in allowed:
            raise UsageError(f"{name} must be one of {', '.join(allowed)}, not {getattr(request, name)!r}.")


def check_outputs(outputs: Sequence[str], known: Sequence[str]) -> None:
    """See that only known outputs are asked for; raises UsageError."""
    unknown = [name for name in outputs if name not in known]
    if unknown:
        raise UsageError(f"outputs must be of {', '.join(known)}, not {unknown[0]!r}.")
