"""What the benchmark of Implicit U-Net lets networks find; its measuring takes minutes and is not tested here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from MedAILib.networks.implicit_unet import ImplicitUNet


@pytest.fixture
def implicit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "Benchmarks"))
    module = import_module("implicit")
    monkeypatch.setattr(module, "SIDE", 32)
    torch.manual_seed(0)
    return module


@pytest.mark.parametrize("share", [0.01, 0.10, 0.50])
def test_a_ball_fills_its_share_of_the_patch(implicit, share):
    found = implicit.ball(share).argmax(1)
    assert float((found == 1).float().mean()) == pytest.approx(share, rel=0.06) and int((found == 2).sum()) == 0


def test_networks_answer_what_they_are_told_by_their_own_three_stages(implicit):
    x, widths = torch.randn(1, 1, 32, 32, 32), (4, 4, 4, 4, 4)
    paper = ImplicitUNet(1, implicit.CLASSES, widths, hidden=8, layers=2)
    for network in (paper, implicit.networks(widths)[implicit.FAST]):
        shares = []
        for share in (0.02, 0.3, 1.0):
            implicit.tell(network, implicit.ball(share))
            with torch.inference_mode():
                found = network.eval()(x).argmax(1)
            shares.append(network.decoded)
            if share < 1:
                wrong = (found.flatten() != implicit.ball(share).argmax(1)).float().mean()
                assert float(wrong) < 0.003
        assert shares == sorted(shares) and shares[0] < 0.2 and shares[-1] > 0.99


def test_the_unet_is_equal_in_its_encoder(implicit):
    made = implicit.networks((4, 6, 8, 8, 8))
    sizes = {
        name: [value.shape for value in part.state_dict().values()]
        for name, part in (
            (implicit.UNET, made[implicit.UNET].stages),
            (implicit.PAPER, made[implicit.PAPER].encoder),
            (implicit.FAST, made[implicit.FAST].encoder),
        )
    }
    assert sizes[implicit.UNET] == sizes[implicit.PAPER] == sizes[implicit.FAST]
