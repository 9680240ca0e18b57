"""The state of a training run in one file without pickled code: tensors as safetensors, numbers as its JSON header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..errors import ReadError, WriteError
from ..onto import flush, move_onto

NAME = "checkpoint.safetensors"
LOG = "log.jsonl"


@dataclass
class Clock:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        seconds: time spent in training, over all resumes.
        precision: number format of the arithmetic; a resume keeps it, whatever the processor gains then.
    """

    step: int = 0
    seconds: float = 0.0
    precision: str = ""


def save_checkpoint(
    folder: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, clock: Clock
) -> Path:
    """Write everything that a run needs to go on bit-exactly, replacing the last checkpoint in one step.

    Samples need no state: each follows from the run's seed and its step. The global random states are kept for networks
    that draw numbers themselves.

    Raises:
        WriteError: the folder cannot be written or is full; the last checkpoint stays.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path, draft = folder / NAME, folder / f".{NAME}.part"
    try:
        save_file(tensors, draft, {"clock": json.dumps(asdict(clock))})
        flush(draft)
        move_onto(draft, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            draft.unlink()
        raise WriteError(f"{path}: the checkpoint cannot be written ({error}).") from error
    return path


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and clock of a checkpoint.

    Raises:
        ReadError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            # Copies: Windows does not replace a file of which a piece is still mapped into memory.
            tensors = {name: stream.get_tensor(name).clone() for name in stream.keys()}  # noqa: SIM118 - not a mapping
            return tensors, json.loads((stream.metadata() or {})["clock"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ReadError(f"{path}: not a usable checkpoint ({error}). Remove it to start the run anew.") from error


def part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under ``prefix.``, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def load_checkpoint(
    folder: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> Clock | None:
    """Put the last checkpoint's state into the given objects.

    Returns:
        The clock, or None if the folder has no checkpoint.

    Raises:
        ReadError: it is damaged or belongs to another network.
    """
    path = folder / NAME
    if not path.exists():
        return None
    tensors, clock = read_checkpoint(path)
    try:
        network.load_state_dict(part(tensors, "network"))
        average.load_state_dict(part(tensors, "average"))
    except RuntimeError as error:
        raise ReadError(f"{path}: belongs to another network ({error}). Choose another output folder.") from error
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in part(tensors, "optimizer").items():
        number, key = name.split(".")
        states.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return Clock(int(clock["step"]), float(clock["seconds"]), str(clock.get("precision", "")))
