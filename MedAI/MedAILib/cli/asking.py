"""Questions to somebody at the keyboard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import OutputExistsError


def may_replace(paths: Iterable[str | Path | None], options: argparse.Namespace) -> bool:
    """Ask whether existing files may be replaced, where there is somebody to ask.

    Args:
        paths: of the results; None for those that are not written.
        options: with ``json`` and ``quiet``, which ask nothing.

    Returns:
        True after a yes; False if nothing is there or nobody can answer.

    Raises:
        OutputExistsError: the answer was no.
    """
    from ..files.writing import is_there

    existing = [str(path) for path in paths if path and is_there(Path(path))]
    if not existing or options.json or options.quiet or not sys.stdin.isatty():
        return False
    print(f"{' and '.join(existing)} exist already. Replace? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    raise OutputExistsError(f"{existing[0]}: is there already and was not replaced.")
