"""Result folders of nnU-Net v2 become model folders, or a sentence says why they cannot."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foreign_samples import DATASET, NNUNET, Touch, nnunet_names, plans, random_network, write_nnunet
from MedAILib.cli.main import main
from MedAILib.errors import ModelError, OutputExistsError
from MedAILib.geometry import with_spacing
from MedAILib.image import Image
from MedAILib.importing import Import, import_any
from MedAILib.models import load_network
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.pipeline.volumes import Volumes
from MedAILib.progress import Progress

pytestmark = pytest.mark.usefixtures("user_models")


def network(residual: bool = False, seed: int = 0) -> torch.nn.Module:
    extra = {"residual": "pooled", "stem": 2} if residual else {}
    return random_network("nnunet", {**NNUNET, **extra}, seed)


def answers(card: Any, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return load_network(card)(image)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_imported_network_answers_the_stored_axes_as_the_other_its_turned_ones(
    residual: bool, turn: tuple[int, ...], tmp_path: Path
) -> None:
    theirs = network(residual)
    folder = write_nnunet(tmp_path / "result", theirs, residual=residual, plan=plans(residual, turn))
    card = import_any(folder)
    stored = torch.randn(1, 1, 8, 16, 24).permute(0, 1, *(2 + turn.index(axis) for axis in range(3)))
    turned = stored.permute(0, 1, *(2 + axis for axis in turn)).contiguous()
    with torch.inference_mode():
        expected = theirs(turned).permute(0, 1, *(2 + turn.index(axis) for axis in range(3)))
    torch.testing.assert_close(answers(card, stored.contiguous()), expected, atol=1e-5, rtol=1e-5)
    sides = [[8, 16, 24][turn.index(axis)] for axis in range(3)]
    assert card.patch == tuple(sides)
    assert card.spacing == tuple([3.0, 1.0, 2.0][turn.index(axis)] for axis in range(3))


def test_the_card_holds_what_nnunet_does_around_its_network(tmp_path: Path) -> None:
    card = import_any(write_nnunet(tmp_path / "result", network()))
    assert (card.name, card.orientation, card.cleaning) == ("dataset007-tiny-3d-fullres", "stored", False)
    assert card.preparation.crop == "nonzero"
    assert (card.preparation.resampling, card.preparation.intensity_first) == ("nnunet", True)
    assert card.intensity == {"method": "clip", "low": -10.0, "high": 120.0, "mean": 50.0, "sd": 20.0}
    assert [(label.value, label.name) for label in card.classes] == [(1, "liver"), (2, "tumor")]
    assert (card.modality, card.license, card.weighting) == (("CT",), "CC0", "nnunet")
    assert "Someone, 2026" in card.citations
    assert any("as an image is stored" in limit for limit in card.limits)


def test_the_imported_model_segments_an_image(tmp_path: Path) -> None:
    theirs = network()
    theirs.head.bias.data.zero_()
    card = import_any(write_nnunet(tmp_path / "result", theirs))
    array = np.zeros((20, 30, 40), np.float32)
    array[4:16, 5:25, 8:36] = np.random.default_rng(0).normal(50, 30, (12, 20, 28))
    image = Image(array, with_spacing((3.0, 1.3, 1.0)), "abdomen")
    stages = Stages(Progress(STAGES))
    found = segment(image, load_network(card), card, Request(str(card.folder), "CT"), "cpu", stages).labels.array
    assert found.shape == array.shape
    assert set(np.unique(found)) <= {0, 1, 2}
    assert found.any()
    outside = found.copy()
    outside[4:16, 5:25, 8:36] = 0
    assert not outside.any()


def test_all_folds_vote_unless_some_are_chosen(tmp_path: Path) -> None:
    members = [network(seed=seed) for seed in (1, 2, 3)]
    for fold, member in enumerate(members):
        folder = write_nnunet(tmp_path / "result", member, str(fold))
    image = torch.randn(1, 1, 8, 16, 24)
    with torch.inference_mode():
        each = [member(image) for member in members]
    torch.testing.assert_close(answers(import_any(folder), image), sum(each) / 3, atol=1e-5, rtol=1e-5)
    two = import_any(folder, Import("two", folds=("0", "2")))
    torch.testing.assert_close(answers(two, image), (each[0] + each[2]) / 2, atol=1e-5, rtol=1e-5)
    assert two.raw["training"]["folds"] == ["0", "2"]
    assert any("2 times as long" in limit for limit in two.limits)
    one = import_any(folder / "fold_1", Import("one"))
    assert one.network == "nnunet"
    torch.testing.assert_close(answers(one, image), each[1], atol=1e-5, rtol=1e-5)


def test_mirrored_images_vote_when_asked_for(tmp_path: Path) -> None:
    theirs = network()
    folder = write_nnunet(tmp_path / "result", theirs, inference_allowed_mirroring_axes=(0, 2))
    card = import_any(folder, Import(mirror=True))
    image = torch.randn(1, 1, 8, 16, 24)
    axes = [2, 4]
    ways = list(chain.from_iterable(combinations(axes, count) for count in range(3)))
    with torch.inference_mode():
        expected = sum(theirs(image.flip(way)).flip(way) for way in ways) / len(ways)
    torch.testing.assert_close(answers(card, image), expected, atol=1e-5, rtol=1e-5)


def test_a_network_that_was_never_mirrored_is_not_mirrored(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path / "result", network(), inference_allowed_mirroring_axes=None)
    assert import_any(folder, Import(mirror=True)).network == "nnunet"


def test_plans_before_version_2_4_are_understood(tmp_path: Path) -> None:
    old = plans()
    full = old["configurations"]["3d_fullres"]
    del full["architecture"]
    full |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 2,
        "unet_max_num_features": 4,
        "n_conv_per_stage_encoder": NNUNET["layers"],
        "n_conv_per_stage_decoder": NNUNET["up_layers"],
        "pool_op_kernel_sizes": NNUNET["strides"],
        "conv_kernel_sizes": NNUNET["kernels"],
    }
    theirs, image = network(), torch.randn(1, 1, 8, 16, 24)
    card = import_any(write_nnunet(tmp_path / "result", theirs, plan=old))
    with torch.inference_mode():
        torch.testing.assert_close(answers(card, image), theirs(image))


def test_a_2d_network_sees_slice_by_slice(tmp_path: Path) -> None:
    flat = {**NNUNET, "kernels": [[3, 3]] * 3, "strides": [[1, 1], [2, 2], [2, 2]]}
    theirs = random_network("nnunet", flat)
    plan = plans(patch_size=[16, 24], spacing=[1.0, 2.0])
    given = plan["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    given |= {"kernel_sizes": flat["kernels"], "strides": flat["strides"], "norm_op": "torch.nn.InstanceNorm2d"}
    state = {
        name: value for name, value in nnunet_names(theirs.state_dict(), False).items() if "seg_layers.0" not in name
    }
    card = import_any(write_nnunet(tmp_path / "result", theirs, plan=plan, network_weights=state))
    assert (card.orientation, card.patch, card.network) == ("stored-slices", (1, 16, 24), "slicewise")
    image = torch.randn(1, 1, 2, 16, 24)
    with torch.inference_mode():
        torch.testing.assert_close(answers(card, image)[:, :, 1], theirs(image[:, :, 1]))


def test_a_checkpoint_that_holds_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    bait = tmp_path / "was run"
    folder = write_nnunet(tmp_path / "result", network(), logging=Touch(bait))
    with pytest.raises(ModelError, match=r"holds more than weights .* could run code"):
        import_any(folder)
    assert not bait.exists()


Spoil = Callable[[Path], None]


def _edit(name: str, change: Callable[[dict[str, Any]], Any]) -> Spoil:
    def spoil(folder: Path) -> None:
        values = json.loads((folder / name).read_text())
        change(values)
        (folder / name).write_text(json.dumps(values))

    return spoil


def _full(**changes: Any) -> Spoil:
    return _edit("plans.json", lambda plan: plan["configurations"]["3d_fullres"].update(changes))


def _network(**changes: Any) -> Spoil:
    def change(plan: dict[str, Any]) -> None:
        plan["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(changes)

    return _edit("plans.json", change)


SPOILED: dict[str, tuple[Spoil, str]] = {
    "no plans": (lambda folder: (folder / "plans.json").unlink(), "holds no model that MedAI knows"),
    "no description": (lambda folder: (folder / "dataset.json").unlink(), r"dataset\.json: is missing"),
    "no checkpoint": (lambda folder: (folder / "fold_0" / "checkpoint_final.pth").unlink(), "--checkpoint best"),
    "plans cut short": (lambda folder: (folder / "plans.json").write_text('{"data'), "not a JSON text file"),
    "checkpoint cut short": (
        lambda folder: (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"PK\x03\x04"),
        "not a checkpoint of torch, or is damaged",
    ),
    "no configurations": (
        _edit("plans.json", lambda plan: plan.pop("configurations")),
        "not as nnU-Net v2 writes them",
    ),
    "regions": (
        _edit("dataset.json", lambda data: data["labels"].update(tumor=[1, 2])),
        "regions that overlap .*tumor",
    ),
    "a gap in the labels": (
        _edit("dataset.json", lambda data: data["labels"].update(tumor=3)),
        r"\[1, 3\]; they must be",
    ),
    "other normalization": (
        _full(normalization_schemes=["MyNormalization"]),
        "MyNormalization, which MedAI does not have",
    ),
    "other resampling": (_full(resampling_fn_data="resample_torch_fornnunet"), "resample_torch_fornnunet"),
    "other preparation": (_full(preprocessor_name="MyPreprocessor"), "MyPreprocessor"),
    "other reader": (_edit("plans.json", lambda plan: plan.update(image_reader_writer="MyIO")), "MyIO"),
    "other blocks": (_network(squeeze_excitation=True), "squeeze_excitation"),
    "other activation": (_network(nonlin="my.Mish"), r"my\.Mish"),
    "other widths": (_network(features_per_stage=[4, 4, 4]), "not the one that its description tells of"),
    "unknown modality": (_edit("dataset.json", lambda data: data.update(channel_names={"0": "x"})), "--modality"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_cannot_be_imported_is_named(case: str, tmp_path: Path, user_models: Path) -> None:
    folder = write_nnunet(tmp_path / "result", network())
    spoil, sentence = SPOILED[case]
    spoil(folder)
    with pytest.raises(ModelError, match=sentence):
        import_any(folder)
    assert not user_models.exists() or not any(user_models.iterdir())


def test_a_cascade_is_refused(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path / "result", network(), init_args={"configuration": "3d_cascade_fullres"})
    with pytest.raises(ModelError, match=r"refines the result of another network \(3d_lowres\)"):
        import_any(folder)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    plan = plans()
    plan["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = "my.Primus"
    with pytest.raises(ModelError, match="its network is a Primus"):
        import_any(write_nnunet(tmp_path / "result", network(), plan=plan))


def test_a_checkpoint_of_version_1_is_refused(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path / "result", network())
    torch.save({"state_dict": {}}, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(ModelError, match="does not import nnU-Net v1"):
        import_any(folder)


def test_an_ignored_label_is_left_out(tmp_path: Path) -> None:
    dataset = copy.deepcopy(DATASET)
    dataset["labels"]["ignore"] = 3
    card = import_any(write_nnunet(tmp_path / "result", network(), dataset=dataset))
    assert [label.name for label in card.classes] == ["liver", "tumor"]


def test_of_several_results_one_must_be_chosen(tmp_path: Path) -> None:
    one = write_nnunet(tmp_path / "Dataset007" / "nnUNetTrainer__nnUNetPlans__3d_fullres", network())
    assert import_any(one.parent).name == "dataset007-tiny-3d-fullres"
    write_nnunet(tmp_path / "Dataset007" / "nnUNetTrainer__nnUNetPlans__3d_lowres", network())
    with pytest.raises(ModelError, match=r"several results \(.*3d_fullres, .*3d_lowres\)"):
        import_any(one.parent)


def test_several_channels_have_their_names_and_preparations(tmp_path: Path) -> None:
    two = random_network("nnunet", {**NNUNET, "inputs": 2})
    dataset = {**DATASET, "channel_names": {"1": "FLAIR", "0": "T1"}}
    plan = plans(normalization_schemes=["ZScoreNormalization", "NoNormalization"], use_mask_for_norm=[True, False])
    card = import_any(write_nnunet(tmp_path / "result", two, plan=plan, dataset=dataset))
    assert (card.input_channels, card.inputs, card.modality) == (2, ("T1", "FLAIR"), ("MR",))
    assert card.intensity["channels"] == [{"method": "zscore", "foreground": True}, {"method": "none"}]
    draw = np.random.default_rng(0)
    images = [Image(draw.normal(50, 30, (12, 20, 28)), with_spacing((3.0, 1.3, 1.0)), name) for name in ("a", "b")]
    given = Volumes(images[0], {"FLAIR": images[1]}, None)
    stages = Stages(Progress(STAGES))
    found = segment(given, load_network(card), card, Request(str(card.folder)), "cpu", stages).labels
    assert found.array.shape == (12, 20, 28)


def test_the_shell_imports_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_nnunet(tmp_path / "result", network())
    assert main(["import", str(folder), "--name", "tiny-liver"]) == 0
    assert "tiny-liver imported is now in" in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    assert "Dataset007_Tiny, 3d_fullres of nnU-Net" in capsys.readouterr().out
    assert main(["models", "import", str(folder), "--name", "tiny-liver"]) == OutputExistsError.exit_status
    assert main(["import", str(folder), "--name", "Tiny Liver"]) == ModelError.exit_status
    assert main(["import", str(folder / "fold_0" / "nothing")]) == ModelError.exit_status
