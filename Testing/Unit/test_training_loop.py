"""The training loop where the arithmetic fails."""

from __future__ import annotations

import json
import math

import torch
from torch import nn

from MedAILib.training.config import TrainingSettings
from MedAILib.training.distributed import World
from MedAILib.training.loop import Loop


class Overflowing(Loop):
    """Its gradients are infinite in bfloat16."""

    def loss_of(self, model: nn.Module, fraction: float) -> torch.Tensor:
        factor = math.inf if self.clock.precision == "bfloat16" else 1.0
        return (model(torch.ones(1, 2)).sum() - 3.0).square() * factor

    def measure(self, fraction: float) -> None:
        return None


def trained(folder, precision, steps=20):
    torch.manual_seed(1)
    settings = TrainingSettings(steps=steps, learning_rate=0.1, warmup=1, precision=precision, ema=0.0, log_steps=5)
    loop = Overflowing(settings, nn.Linear(2, 1), folder, World("cpu"))
    before = [p.detach().clone() for p in loop.network.parameters()]
    loop.run()
    return loop, any(not torch.equal(a, b) for a, b in zip(before, loop.network.parameters(), strict=True))


def test_a_training_whose_gradients_overflow_goes_on_in_full_precision_and_says_so(tmp_path):
    loop, changed = trained(tmp_path, "bfloat16")
    assert changed and loop.clock.precision == "float32"
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "float32" in line.get("note", "")] == [2]


def test_a_gradient_that_overflows_never_spoils_the_weights(tmp_path):
    _, changed = trained(tmp_path, "bfloat16", steps=2)
    assert not changed
