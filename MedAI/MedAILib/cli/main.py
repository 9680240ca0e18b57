"""``medai``: arguments in, one exit status out, never a traceback (unless ``--debug`` asks for one)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from ..errors import Cancelled, MedAIError, UsageError
from . import importing, info, interact, models, register, segment, superres, train, tubes
from .failure import report

_EPILOG = """exit status:
  0 done            2 wrong arguments     3 unreadable input    4 unusable geometry   5 unusable values
  6 output exists   7 cannot write        8 model unusable      9 other modality     10 no such device
 11 worker failed 12 out of memory       20 some cases of a batch failed
130 cancelled      1 anything else

MedAI is for research only, not for diagnosis."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing usage and exiting, so that every failure leaves by the same door."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. '{self.prog} --help' shows how to call it.")


def parser() -> argparse.ArgumentParser:
    """The arguments of all subcommands."""
    top = _Parser(
        prog="medai",
        description="Segment, register and sharpen medical volumes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"medai {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (segment, interact, register, superres, tubes, models, importing, train, info):
        command.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; those of the process if None.

    Returns:
        The exit status; see ``medai --help``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug, json = "--debug" in given, "--json" in given
    try:
        options: Any = parser().parse_args([argument for argument in given if argument != "--debug"])
        return int(options.run(options))
    except SystemExit as leaving:  # argparse, after --help and --version
        return int(leaving.code or 0)
    except BrokenPipeError:  # the reader of our output, e.g. "head", has seen enough
        sys.stdout = None  # type: ignore[assignment]  # nothing is left to flush at exit
        return 0
    except KeyboardInterrupt:
        return report(Cancelled("The run was cancelled."), json, debug)
    except MedAIError as error:
        return report(error, json, debug)
    except Exception as error:  # noqa: BLE001  # the last resort: one sentence and a log file instead of a traceback
        return report(error, json, debug)
