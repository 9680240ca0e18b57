"""How the result of one run is told."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Account(Protocol):
    """The summary of any task."""

    def text(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...


def add_options(command: argparse.ArgumentParser) -> None:
    """The options that say how."""
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.add_argument("--quiet", action="store_true", help="print neither progress nor result")


def shows_progress(options: argparse.Namespace) -> bool:
    """Whether somebody looks who wants to see progress."""
    return not options.quiet and not options.json and sys.stderr.isatty()


def tell_result(
    summary: Account, written: Iterable[str | Path | None], named: Mapping[str, Any], options: argparse.Namespace
) -> int:
    """Print the summary and what was written.

    Args:
        summary: of the run.
        written: files; None for those that were not asked for.
        named: the same as the JSON form says it.
        options: with ``json`` and ``quiet``.

    Returns:
        The exit status.
    """
    if options.json:
        print(json.dumps({**summary.to_json(), **named}))
    elif not options.quiet:
        print(f"{summary.text()}\nWritten: {', '.join(str(path) for path in written if path)}")
    return 0
