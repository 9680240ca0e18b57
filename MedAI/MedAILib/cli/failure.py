"""How a failure is told: one sentence, or JSON, and the details in a log file."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from pathlib import Path

from ..errors import MedAIError, OutputExistsError


def report(error: BaseException, as_json: bool, debug: bool) -> int:
    """Tell the user of a failure.

    Args:
        error: a :class:`MedAIError`, or anything unexpected.
        as_json: print ``{"error": {"code", "message"}}`` on the output stream instead of a sentence.
        debug: show the traceback too.

    Returns:
        The exit status.
    """
    expected = isinstance(error, MedAIError)
    sentence, _, details = str(error).partition("\n")
    if isinstance(error, OutputExistsError) and "--overwrite" not in sentence:
        sentence += " --overwrite replaces it."
    if debug:
        traceback.print_exception(type(error), error, error.__traceback__)
    elif not expected:
        details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        sentence = f"An unexpected error happened ({type(error).__name__}: {sentence})."
    if details:
        sentence += f" The details are in {_keep(details)}."
    if as_json:
        print(json.dumps({"error": {"code": getattr(error, "code", "unexpected"), "message": sentence}}))
    else:
        print(f"medai: {sentence}", file=sys.stderr)
    return error.exit_status if isinstance(error, MedAIError) else 1


def _keep(details: str) -> Path | str:
    """Write the details to a file of their own that stays."""
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="medai-", suffix=".log", delete=False) as file:
            file.write(details)
        return Path(file.name)
    except OSError:
        return "no file, because the temporary folder is not writable; --debug shows them"
