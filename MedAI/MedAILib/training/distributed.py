"""One process, or several under ``torchrun``, each with its own samples and equal weights."""

from __future__ import annotations

import gc
import os

import torch
from torch import distributed, nn

from ..inference.devices import choose


class World:
    """The processes of a run.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Attributes:
        rank: number of this process; 0 writes the files.
        size: number of processes.
        device: of this process.

    Raises:
        DeviceError: the device is not there.
    """

    def __init__(self, device: str = "auto") -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = _device(device, local, self.size > 1)
        self._joined = False
        if self.size > 1:
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            self._joined = True

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes."""
        if self.size == 1:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, devices, find_unused_parameters=True)

    def agree(self, value: float) -> float:
        """The first process' value, on all processes."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Until all processes are here."""
        self.agree(0.0)

    def close(self) -> None:
        if self._joined:
            # A wrapped network that outlives the group is torn down when Python ends, which can abort the process.
            gc.collect()
            distributed.destroy_process_group()
            self._joined = False


def _device(name: str, local: int, several: bool) -> torch.device:
    """Under ``torchrun`` each process takes the CUDA device of its local number; the emptiest would serve them all."""
    if several and name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", local)
    return choose(name).torch
