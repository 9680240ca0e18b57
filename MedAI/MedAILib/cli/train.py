"""``medai train``: train a model from a recipe."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add(commands: Any) -> None:
    """Add the subcommand."""
    command = commands.add_parser("train", help="train a model from a recipe")
    command.add_argument("config", metavar="CONFIG", help="a recipe file, or the name of a bundled recipe")
    command.add_argument("--data", metavar="DIR", help="folder with the recipe's label maps or images, if it needs any")
    command.add_argument("--output", required=True, metavar="DIR", help="folder for checkpoint, log and model")
    command.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from the last checkpoint"
    )
    command.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda or mps")
    command.add_argument("--seconds", type=float, metavar="S", help="replaces the recipe's time budget")
    command.add_argument("--steps", type=int, metavar="N", help="replaces the recipe's number of steps")
    command.add_argument("--quiet", action="store_true", help="do not print the log")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    from ..training import run as train

    train(
        options.config,
        options.data,
        options.output,
        resume=options.resume,
        device=options.device,
        seconds=options.seconds,
        steps=options.steps,
        report=_silent if options.quiet else _print,
    )
    return 0


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _silent(line: dict[str, Any]) -> None:
    pass
