"""``medai train``: train a model from a recipe."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ContentError, UsageError


def add(commands: Any) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "train",
        help="train a model from a recipe",
        description="Train a model as a recipe says. Recipes of labeled cases (residual-unet, vnet, ...) take a folder "
        "with images/ and labels/, nnU-Net's imagesTr/ and labelsTr/, or NAME and NAME_seg side by side; settings that "
        "follow from the data are planned. Ctrl-C pauses such a training; the same command goes on.",
    )
    command.add_argument("config", metavar="CONFIG", help="a recipe file, or the name of a bundled recipe")
    command.add_argument("--data", metavar="DIR", help="folder with the recipe's cases, label maps or images")
    command.add_argument("--output", metavar="DIR", help="folder for checkpoint, log and model")
    command.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from the last checkpoint"
    )
    command.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda or mps")
    command.add_argument("--seconds", type=float, metavar="S", help="replaces the recipe's time budget")
    command.add_argument("--steps", type=int, metavar="N", help="replaces the recipe's number of steps")
    command.add_argument("--seed", type=int, metavar="N", help="replaces the recipe's seed")
    command.add_argument("--quiet", action="store_true", help="do not print the log")
    cases = command.add_argument_group("for recipes of labeled cases")
    cases.add_argument("--check", action="store_true", help="only look at the cases, and show the plan")
    cases.add_argument("--start", metavar="MODEL", help="begin with a model of the same network (name or folder)")
    cases.add_argument("--name", metavar="NAME", help="of the model")
    cases.add_argument("--title", metavar="TEXT", help="of the model, for people")
    cases.add_argument("--license", metavar="TEXT", help="of the model, for its card")
    cases.add_argument("--source", metavar="TEXT", help="where the cases come from, for the model's card")
    cases.add_argument("--held-out", nargs="+", metavar="CASE", help="cases to measure on, instead of drawn ones")
    cases.add_argument("--install", action="store_true", help="put the model among yours when it is done")
    cases.add_argument("--overwrite", action="store_true", help="also where you have one of this name")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    if options.check:
        return _check(options)
    if options.output is None:
        raise UsageError("The folder for checkpoint, log and model is missing; give --output.")
    from ..training import run as train
    from ..training.config import load_values, task_of

    with _pausing(task_of(load_values(options.config)[0]) == "cases") as pause:
        train(
            options.config,
            options.data,
            options.output,
            resume=options.resume,
            device=options.device,
            seconds=options.seconds,
            steps=options.steps,
            report=_silent if options.quiet else _print,
            seed=options.seed,
            pause=pause,
            **_of_cases(options),
        )
    return 0


@contextmanager
def _pausing(possible: bool) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed inside, if a training can be paused; pressed again, it ends as everywhere."""
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        print("medai: The training pauses after this step.", file=sys.stderr)

    changed = possible and threading.current_thread() is threading.main_thread()
    if changed:
        signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        if changed:
            signal.signal(signal.SIGINT, before)


def _of_cases(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of the arguments for labeled cases."""
    given = {name: getattr(options, name) for name in ("start", "name", "title", "install", "overwrite")}
    said = {"license": options.license, "data": options.source}
    given["card"] = {name: text for name, text in said.items() if text}
    given["validation"] = {"cases": options.held_out} if options.held_out else None
    return {name: value for name, value in given.items() if value}


def _check(options: argparse.Namespace) -> int:
    """The report and the plan; 5 (unusable values) if the cases cannot be trained on."""
    from ..training.cases.planning import look_at
    from ..training.cases.request import TrainRequest

    if options.data is None:
        raise UsageError("The folder with the cases is missing; give --data.")
    asked = TrainRequest(options.config, options.data, "", seed=options.seed, **_of_cases(options))
    report, plan = look_at(asked, options.device)
    print(report.text())
    if plan is None:
        return ContentError.exit_status
    print("\n".join(plan.why))
    return 0


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _silent(line: dict[str, Any]) -> None:
    pass
