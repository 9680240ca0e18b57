"""Public checkpoints become model folders, and nothing else does."""

from __future__ import annotations

import os
import pickle

import pytest
import torch

from MedAILib.errors import ModelError
from MedAILib.interactive.slices.card import read_slice_card
from MedAILib.interactive.slices.checkpoints import import_checkpoint, start_from
from MedAILib.models.weights import build_network
from MedAILib.networks.sam import Sam
from MedAILib.networks.sppnet import SPPNet
from Unit.registration_tools import single_thread
from Unit.slice_tools import NETWORKS, fresh

CLASSIFIER = {"norm_head.weight": (320,), "norm_head.bias": (320,), "head.weight": (1000, 320), "head.bias": (1000,)}


@pytest.fixture(autouse=True, scope="module")
def threads():
    with single_thread():
        yield


@pytest.fixture(scope="module")
def mobile():
    """Tensors as in MobileSAM's checkpoint."""
    torch.manual_seed(0)
    unused = {f"image_encoder.{name}": torch.zeros(shape) for name, shape in CLASSIFIER.items()}
    return {**Sam("vit_t").state_dict(), **unused}


def saved(tensors, path):
    torch.save(tensors, path)
    return path


def test_mobile_sams_checkpoint_becomes_a_model(mobile, tmp_path):
    folder = import_checkpoint(saved(mobile, tmp_path / "mobile_sam.pt"), tmp_path / "mine", (-160.0, 240.0))
    card = read_slice_card(folder)
    assert card.name == "mine" and card.network == "sam" and card.trained and card.window == (-160.0, 240.0)
    assert card.training["source"] == "mobile_sam.pt" and len(card.training["source_sha256"]) == 64
    network = build_network(card)
    for name, value in network.state_dict().items():
        assert torch.equal(value, mobile[name]), name


def test_networks_built_on_sam_are_recognized_also_wrapped(tmp_path):
    torch.manual_seed(0)
    network = SPPNet()
    wrapped = {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}
    card = read_slice_card(import_checkpoint(saved(wrapped, tmp_path / "own.pth"), tmp_path / "own"))
    assert card.network == "sppnet" and card.network_arguments == {"encoder": "vit_t"} and card.window is None


def test_what_does_not_fit_is_refused_by_name(mobile, tmp_path):
    def refused(tensors, match):
        with pytest.raises(ModelError, match=match):
            import_checkpoint(saved(tensors, tmp_path / "odd.pth"), tmp_path / "odd")
        assert not (tmp_path / "odd").exists()

    less = {name: value for name, value in mobile.items() if name != "mask_decoder.iou_token.weight"}
    refused(less, "missing mask_decoder.iou_token.weight")
    refused({**mobile, "more": torch.zeros(1)}, "unexpected more")
    refused({**mobile, "mask_decoder.iou_token.weight": torch.zeros(1, 255)}, r"shape \(1, 255\)")
    refused({**mobile, "mask_decoder.iou_token.weight": torch.full((1, 256), torch.nan)}, "not finite")
    refused({"layer.weight": torch.zeros(3)}, "no network that is known")
    refused({"image_encoder.patch_embed.proj.weight": torch.zeros(384, 3, 16, 16)}, "no network that is known")
    refused({"weights": [1, 2, 3]}, "more than named tensors")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    trap = str(tmp_path / "sprung")
    torch.save({"model": Trap(trap)}, tmp_path / "trap.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Trap(trap), protocol=2))
    (tmp_path / "text.pth").write_text("no checkpoint")
    (tmp_path / "text.safetensors").write_text("no checkpoint")
    for name in ("trap.pth", "plain.pth", "text.pth", "text.safetensors"):
        with pytest.raises(ModelError, match=name):
            import_checkpoint(tmp_path / name, tmp_path / "out")
    with pytest.raises(ModelError, match="cannot be read"):
        import_checkpoint(tmp_path / "none.pth", tmp_path / "out")
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "out").exists()


def test_training_starts_from_sams_weights(tmp_path):
    sam, network = fresh("sam"), fresh("sppnet")
    torch.nn.init.normal_(sam.mask_decoder.iou_token.weight)
    before = network.fusion.weight.detach().clone()
    start_from(network, saved(sam.state_dict(), tmp_path / "sam.pth"))
    assert torch.equal(network.mask_decoder.iou_token.weight, sam.mask_decoder.iou_token.weight)
    assert torch.equal(network.fusion.weight, before)
    state = sam.state_dict()
    del state["prompt_encoder.no_mask_embed.weight"]
    with pytest.raises(ModelError, match="no_mask_embed"):
        start_from(network, saved(state, tmp_path / "less.pth"))
    other = Sam(**{**NETWORKS["sam"], "changes": {**NETWORKS["sam"]["changes"], "widths": [8, 8, 12, 20]}})
    with pytest.raises(ModelError, match="shape"):
        start_from(network, saved(other.state_dict(), tmp_path / "other.pth"))
