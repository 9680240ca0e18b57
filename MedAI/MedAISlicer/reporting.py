"""How a run ended, for the log and, where it failed, in a dialog."""

from __future__ import annotations

import logging

import slicer

from .run import Outcome


def report(outcome: Outcome) -> None:
    """Log the warnings; show an error, with the worker's log behind it where there is one."""
    for code, message in outcome.warnings:
        logging.warning("MedAI: %s (%s)", message, code)
    if outcome.error is not None:
        sentence, _newline, details = str(outcome.error).partition("\n")
        if details:
            logging.error("MedAI: %s", details)
        slicer.util.errorDisplay(sentence, **({"detailedText": details} if details else {}))
