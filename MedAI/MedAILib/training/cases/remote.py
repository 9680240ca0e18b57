"""A training on a folder of cases in a worker of its own, waited for: what ``MedAILib.train`` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...models import ModelCard
from ...models.store import ModelStore, user_folder
from ...progress_line import ProgressLine
from ...worker.client import Worker
from ...worker.events import Event
from .choices import PLAIN
from .request import TASK, TrainRequest, model_name
from .run_folder import RunFolder


def train_folder(
    folder: str | Path,
    name: str,
    network: str = PLAIN,
    minutes: float = 10.0,
    start: str | None = None,
    output: str | Path | None = None,
    device: str = "auto",
    *,
    plan: Mapping[str, Any] | None = None,
    seed: int = 1,
    progress: bool = True,
    on_event: Callable[[Event], None] = lambda event: None,
) -> ModelCard:
    """See :func:`MedAILib.train`.

    Args:
        on_event: receives what the worker tells.
    """
    request = request_for(folder, name, network, minutes, start, output, plan or {}, seed)
    with ProgressLine(progress) as line, Worker(device) as worker:

        def tell(event: Event) -> None:
            line.event(event)
            on_event(event)

        done = worker.submit(TASK, *request.message()).wait(tell)
    return ModelStore().find(str(done.parameters["model"] or done.parameters["folder"]))


def training_folder(name: str, output: str | Path | None = None) -> Path:
    """Of the training of a model: as given, or beside the user's models."""
    return Path(output).absolute() if output else user_folder().parent / "training" / model_name(name)


def request_for(
    folder: str | Path,
    name: str,
    network: str,
    minutes: float,
    start: str | None,
    output: str | Path | None,
    plan: Mapping[str, Any],
    seed: int,
) -> TrainRequest:
    """A new training; or one that was paused in the same folder, whose time may have become longer."""
    place = training_folder(name, output)
    if RunFolder(place).resumable:
        kept = TrainRequest.read({"output": str(place), "resume": True})
        return replace(kept, seconds=max(kept.seconds or 0.0, 60.0 * minutes))
    return TrainRequest(
        recipe=network,
        data=str(Path(folder).absolute()),
        output=str(place),
        name=model_name(name),
        title=name,
        seconds=60.0 * minutes,
        start=start,
        plan=plan,
        seed=seed,
        resume=False,
        install=True,
    )
