from __future__ import annotations

import pytest
import torch

from MedAILib.training import losses
from MedAILib.training.losses import DiceCrossEntropy
from MedAILib.training.precision import autocast


def naive(logits: torch.Tensor, target: torch.Tensor, dice_weight: float, balance: float) -> torch.Tensor:
    """The formula of the docstring, word by word."""
    classes = logits.shape[1]
    probabilities = logits.softmax(1)
    true = torch.nn.functional.one_hot(target.long(), classes).movedim(-1, 1).to(logits.dtype)
    axes = (0, 2, 3, 4)
    size = true.sum(axes)
    dice = (2 * (probabilities * true).sum(axes) + 1) / (probabilities.sum(axes) + size + 1)
    present = [n for n in range(1, classes) if size[n] > 0]
    weights = torch.tensor([float(s) ** -balance if s > 0 else 0.0 for s in size], dtype=logits.dtype)
    entropy = -(probabilities.log() * true).sum(1)
    voxel = weights[target.long()]
    return dice_weight * (1 - dice[present]).mean() + (entropy * voxel).sum() / voxel.sum()


def example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 6, 4, 5, 3, generator=generator) * 3
    target = torch.randint(0, 5, (2, 4, 5, 3), generator=generator, dtype=torch.uint8)  # class 5 is absent
    target[target == 3] = 0  # and so is class 3
    return logits, target


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("chunk", [7, 1000])
def test_loss_and_gradient_equal_the_naive_formula(balance: float, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", chunk)
    logits, target = example()
    ours, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    loss, expected = DiceCrossEntropy(0.7, balance)(ours, target), naive(theirs, target, 0.7, balance)
    (loss * 2).backward()
    (expected * 2).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad.double(), theirs.grad, atol=1e-6)


def test_memory_layout_does_not_matter() -> None:
    logits, target = example()
    plain = DiceCrossEntropy()(logits, target)
    assert torch.allclose(DiceCrossEntropy()(logits.to(memory_format=torch.channels_last_3d), target), plain)


def test_bfloat16_logits_are_summed_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 32, 32, 32, generator=generator).bfloat16()
    target = torch.randint(0, 3, (1, 32, 32, 32), generator=generator, dtype=torch.uint8)
    loss = DiceCrossEntropy()(logits, target)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(naive(logits.double(), target, 1.0, 0.0)), rel=1e-4)


def test_absent_classes_do_not_count_for_dice() -> None:
    target = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    target[0, :2] = 1
    logits = torch.full((1, 9, 4, 4, 4), -50.0)
    logits[:, 0, 2:] = 50.0
    logits[:, 1, :2] = 50.0
    assert float(DiceCrossEntropy()(logits, target)) == pytest.approx(0.0, abs=1e-4)


def test_a_patch_of_pure_background_gives_a_finite_loss_and_gradient() -> None:
    logits = torch.randn(1, 4, 4, 4, 4, requires_grad=True)
    loss = DiceCrossEntropy(balance=0.5)(logits, torch.zeros(1, 4, 4, 4, dtype=torch.uint8))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("kernel", "side"), [(5, 3), (5, 4), (3, 2)])
def test_gradients_in_bfloat16_are_right_where_a_kernel_is_longer_than_the_volume(kernel: int, side: int) -> None:
    """Torch leaves a part of them unwritten; what was in that memory before is made to stand out here."""
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(64, 64, kernel, padding=kernel // 2)
    image = torch.randn(2, 64, side, side, side)

    def gradient(precision: str) -> torch.Tensor:
        convolution.zero_grad()
        for count in (1 << 16, 1 << 20, 64 * 64 * kernel**3):
            full = [torch.full((count,), 1e30) for _ in range(3)]
            del full
        with autocast(torch.device("cpu"), precision):
            answer = convolution(image)
        answer.float().square().mean().backward()
        assert convolution.weight.grad is not None
        return convolution.weight.grad.clone()

    exact = gradient("float32")
    for _ in range(3):
        assert (gradient("bfloat16") - exact).abs().max() < 0.05 * exact.abs().max()


def test_other_convolutions_stay_in_bfloat16() -> None:
    with autocast(torch.device("cpu"), "bfloat16"):
        assert torch.nn.Conv3d(2, 2, 3, padding=1)(torch.rand(1, 2, 3, 3, 3)).dtype == torch.bfloat16
        assert torch.nn.Conv3d(2, 2, 3, padding=1)(torch.rand(1, 2, 2, 3, 3)).dtype == torch.float32
        assert torch.nn.Conv2d(2, 2, 3, padding=1)(torch.rand(1, 2, 2, 2)).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), "float32"):
        assert torch.nn.Conv3d(2, 2, 3, padding=1)(torch.rand(1, 2, 3, 3, 3)).dtype == torch.float32
