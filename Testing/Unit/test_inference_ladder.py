"""Running out of memory ends in a result and a note."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from MedAILib.errors import OutOfMemory
from MedAILib.inference import engine, ladder
from MedAILib.inference.engine import WindowOptions, predict_labels
from MedAILib.inference.head import Split
from MedAILib.inference.ladder import Plan, divisor, explain, fit, is_out_of_memory, smaller, step_down

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


class Hungry(nn.Module):
    """Fails as the CPU allocator does for any patch longer than ``limit``."""

    multiple = 8

    def __init__(self, limit: int, error: Exception) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 3, 1)
        self.limit, self.error = limit, error

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        if max(patch.shape[2:]) > self.limit:
            raise self.error
        return self.convolution(patch)


def volume() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 40, 40, 40)).astype(np.float32)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_halves_the_patch_until_it_fits_and_says_so(error):
    network = Hungry(8, error)
    found = predict_labels(network, volume(), WindowOptions((32, 32, 32), precision="float32"), "cpu")
    whole = predict_labels(network, volume(), WindowOptions((8, 8, 8), precision="float32"), "cpu")
    assert np.array_equal(found.labels, whole.labels)
    assert [code for code, _ in found.notes] == ["memory", "memory"]
    assert "8 x 8 x 8" in found.notes[-1][1]


def test_not_even_the_smallest_patch_fitting_is_said_in_a_sentence():
    with pytest.raises(OutOfMemory, match="Close other programs"):
        predict_labels(Hungry(0, MemoryError()), volume(), WindowOptions((32, 32, 32)), "cpu")


def test_other_errors_of_a_network_are_not_taken_for_lack_of_memory():
    with pytest.raises(RuntimeError, match="weights are odd"):
        predict_labels(Hungry(8, RuntimeError("weights are odd")), volume(), WindowOptions((32, 32, 32)), "cpu")


def test_a_plan_gives_way_step_by_step_from_the_accelerator_down_to_a_small_patch_on_the_cpu():
    full = (64, 64, 64)
    plan, steps = Plan(CUDA, full, "float32", batch=4), []
    while (after := step_down(plan, full, (16, 16, 16))) is not None:
        steps.append(after)
        assert explain(plan, after)
        plan = after
    assert steps == [
        Plan(CUDA, full, "float32"),
        Plan(CUDA, (32, 32, 32), "float32"),
        Plan(CUDA, (32, 32, 32), "float32", host_store=True),
        Plan(CUDA, (32, 32, 32), "float16", host_store=True),
        Plan(CPU, full, "float32"),
        Plan(CPU, (32, 32, 32), "float32"),
        Plan(CPU, (16, 16, 16), "float32"),
    ]


def test_a_failing_accelerator_hands_over_to_the_cpu_with_its_reason(monkeypatch):
    attempt = engine._attempt

    def broken(request, plan):
        if plan.device.type != "cpu":
            raise RuntimeError("no kernel image is available\nfor this device")
        return attempt(request, plan)

    monkeypatch.setattr(engine, "_attempt", broken)
    network = Hungry(99, MemoryError())
    request = engine._Request(
        network, volume(), WindowOptions((32, 32, 32)), (40, 40, 40), engine.IDENTITY, (8, 8, 8), lambda fraction: None
    )
    found = engine._descend(request, Plan(CUDA, (32, 32, 32), "float16"))
    assert found.device == "cpu"
    assert found.notes == [("device", "cuda:0 failed (no kernel image is available); the CPU took over.")]


def test_patches_shrink_to_multiples_that_the_network_takes():
    assert smaller((96, 96, 96), (32, 32, 32)) == (64, 64, 64)
    assert smaller((64, 32, 16), (16, 16, 16)) == (32, 16, 16)
    assert smaller((16, 16, 16), (16, 16, 16)) is None
    assert smaller((5, 4, 3), (1, 1, 1)) is None
    assert smaller((1, 128, 96), (1, 32, 32)) == (1, 64, 64)


def test_the_divisor_is_what_the_network_says_or_what_its_patch_suggests():
    assert divisor(Hungry(1, MemoryError()), (20, 20, 20)) == (8, 8, 8)
    assert divisor(nn.Conv3d(1, 1, 1), (96, 160, 128)) == (32, 32, 32)
    assert divisor(nn.Conv3d(1, 1, 1), (20, 40, 24)) == (4, 4, 4)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_lack_of_memory_is_recognized_by_kind_and_words(error, answer):
    assert is_out_of_memory(error) is answer


def planned(monkeypatch, device: torch.device, free: int, host: int, shape=(256, 256, 256), batch=8) -> Plan:
    monkeypatch.setattr(ladder, "free_bytes", lambda place: free if place.type == "cuda" else host)
    monkeypatch.setattr(ladder, "free_host_bytes", lambda: host)
    split = Split(lambda patch: patch, 16, 25, bytes_per_voxel=128)
    return fit(
        Plan(device, (128, 128, 128), "float32", batch=batch),
        WindowOptions((128, 128, 128)),
        shape,
        split,
        (16, 16, 16),
    )


def test_much_free_memory_is_used_for_several_windows_at_once(monkeypatch):
    assert planned(monkeypatch, CUDA, 80 << 30, 64 << 30).batch == 8
    assert planned(monkeypatch, CUDA, 6 << 30, 64 << 30).batch == 3


def test_one_window_at_a_time_stays_so_however_much_memory_seems_free(monkeypatch):
    less = step_down(Plan(CUDA, (128, 128, 128), "float32", batch=8), (128, 128, 128), (16, 16, 16))
    assert less.batch == 1
    assert planned(monkeypatch, CUDA, 80 << 30, 64 << 30, batch=less.batch).batch == 1


def test_accumulators_that_do_not_fit_beside_the_network_go_to_main_memory(monkeypatch):
    plan = planned(monkeypatch, CUDA, 3 << 30, 64 << 30, (512, 512, 512))
    assert plan.host_store
    assert plan.patch == (128, 128, 128)


def test_the_patch_is_chosen_for_the_memory_that_is_free(monkeypatch):
    assert planned(monkeypatch, CPU, 0, 1 << 30).patch == (64, 64, 64)
    assert planned(monkeypatch, CPU, 0, 1 << 20).patch == (16, 16, 16)


def test_a_patch_made_smaller_beforehand_is_noted(monkeypatch):
    monkeypatch.setattr(ladder, "free_bytes", lambda place: 1 << 20)
    found = predict_labels(Hungry(99, MemoryError()), volume(), WindowOptions((32, 32, 32)), "cpu")
    assert [code for code, _ in found.notes] == ["memory"]
