"""The processors that a run can use."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

from ..errors import DeviceError
from .memory import free_bytes


@dataclass(frozen=True)
class Device:
    """A processor.

    Attributes:
        name: ``"cpu"``, ``"cuda:0"``, ``"mps"``.
        title: what it is, for the user.
        free_bytes: memory that a run could take now.
    """

    name: str
    title: str
    free_bytes: int

    @property
    def torch(self) -> torch.device:
        return torch.device(self.name)


def describe() -> list[Device]:
    """Every device there is, the kind that ``"auto"`` takes first. Never fails."""
    names = [f"cuda:{number}" for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [Device(name, _title(name), free_bytes(torch.device(name))) for name in [*names, "cpu"]]


def choose(name: str = "auto") -> Device:
    """The device of that name.

    Args:
        name: ``"auto"`` (CUDA, else MPS, else CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``. Of several CUDA
            devices that a name means, the one with most free memory is taken.

    Raises:
        DeviceError: it is not there; the message lists those that are.
    """
    devices = describe()
    kind = devices[0].name.split(":")[0] if name == "auto" else name
    found = [device for device in devices if device.name == kind or device.name.split(":")[0] == kind]
    if not found:
        there = ", ".join(device.name for device in devices)
        raise DeviceError(f"Device {name!r} is not there. Choose auto or one of: {there}.")
    return max(found, key=lambda device: device.free_bytes)


def _title(name: str) -> str:
    if name.startswith("cuda"):
        return torch.cuda.get_device_name(name)
    return "Apple GPU" if name == "mps" else platform.processor() or platform.machine() or "processor"
