"""MONAI bundles become model folders, or a sentence says why they cannot; TorchScript needs permission."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from foreign_samples import INFERENCE, METADATA, MONAI, Touch, random_network, write_bundle
from MedAILib.cli.main import main
from MedAILib.errors import CodeError, ModelError
from MedAILib.geometry import with_spacing
from MedAILib.image import Image
from MedAILib.importing import Import, import_any
from MedAILib.models import find_model, load_network, read_card
from MedAILib.pipeline.request import Request
from MedAILib.pipeline.segment import STAGES, segment
from MedAILib.pipeline.stages import Stages
from MedAILib.progress import Progress

pytestmark = [
    pytest.mark.usefixtures("user_models"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning"),
]


def bundle(folder: Path, **changes: Any) -> Path:
    """A bundle with a UNet; changes replace entries of its inference configuration."""
    return write_bundle(folder, random_network("monai_unet", MONAI), {**INFERENCE, **changes})


def same_answers(card: Any, theirs: nn.Module) -> None:
    """Ours sees (k, j, i) as theirs sees (i, j, k)."""
    image = torch.randn(1, 1, 16, 32, 16)
    with torch.inference_mode():
        expected = theirs(image.transpose(2, 4).contiguous()).transpose(2, 4)
        torch.testing.assert_close(load_network(card)(image), expected, atol=1e-5, rtol=1e-5)


def test_the_card_holds_what_the_bundle_does_around_its_network(tmp_path: Path) -> None:
    card = import_any(bundle(tmp_path / "spleen"))
    assert (card.name, card.version, card.orientation, card.modality) == ("tiny-spleen", "1.2.3", "LPS", ("CT",))
    assert card.spacing == (2.0, 1.0, 1.5)
    assert card.intensity == {
        "method": "range",
        "low": -57.0,
        "high": 164.0,
        "to_low": 0.0,
        "to_high": 1.0,
        "clip": True,
    }
    assert (card.preparation.crop, card.preparation.resampling) == ("positive", "corner")
    assert not card.preparation.intensity_first
    assert (card.patch, card.overlap, card.weighting) == ((24, 8, 16), 0.5, "uniform")
    assert [(label.value, label.name) for label in card.classes] == [(1, "spleen"), (2, "cyst")]
    assert any("KeepLargestConnectedComponent is left out" in limit for limit in card.limits)


def test_the_unet_answers_as_before(tmp_path: Path) -> None:
    theirs = random_network("monai_unet", MONAI)
    same_answers(import_any(write_bundle(tmp_path / "spleen", theirs)), theirs)


@pytest.mark.parametrize(
    ("name", "arguments", "described"),
    [
        ("monai_basic_unet", {"features": [4, 4, 4, 4, 8, 4]}, {"_target_": "monai.networks.nets.BasicUNet"}),
        (
            "monai_segresnet",
            {"filters": 8, "blocks_down": [1, 2], "blocks_up": [1]},
            {"_target_": "SegResNet", "init_filters": 8, "blocks_down": [1, 2], "blocks_up": [1]},
        ),
    ],
)
def test_other_networks_of_monai_answer_as_before(
    name: str, arguments: dict[str, Any], described: dict[str, Any], tmp_path: Path
) -> None:
    theirs = random_network(name, {"inputs": 1, "classes": 3, **arguments})
    if "features" in arguments:
        described = {**described, "features": arguments["features"]}
    definition = {"spatial_dims": 3, "in_channels": 1, "out_channels": 3, **described}
    same_answers(import_any(write_bundle(tmp_path / "b", theirs, {**INFERENCE, "network_def": definition})), theirs)


@pytest.mark.parametrize("residual", [False, True])
def test_a_dynunet_is_the_network_of_nnunet_under_other_names(residual: bool, tmp_path: Path) -> None:
    own = {
        "inputs": 1,
        "classes": 3,
        "features": [4, 8],
        "kernels": [[3, 3, 1], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 1, 2]],
        "layers": [1, 1] if residual else [2, 2],
        "up_layers": [2],
        "residual": "strided" if residual else None,
        "bias": False,
        "up_bias": False,
    }
    theirs = random_network("nnunet", own)
    blocks = {"stages.0.": "input_block.", "stages.1.": "bottleneck.", "refine.0.": "upsamples.0.conv_block."}
    names = {"0.first.": 1, "0.second.": 2, "0.shortcut.": 3} if residual else {"0.": 1, "1.": 2}
    state = {}
    for name, value in theirs.state_dict().items():
        block = next((block for block in blocks if name.startswith(block)), "")
        rest = name.removeprefix(block)
        inner = {"0.": 1, "1.": 2} if block == "refine.0." else names
        part = next((part for part in inner if block and rest.startswith(part)), "")
        if part:
            kind, leaf = rest.removeprefix(part).split(".")
            layer = f"{kind}{inner[part]}"
            name = f"{blocks[block]}{layer}.conv.{leaf}" if kind == "conv" else f"{blocks[block]}{layer}.{leaf}"
        name = name.replace("enlarge.0.", "upsamples.0.transp_conv.conv.").replace("head.", "output_block.conv.conv.")
        state[name] = value
        state[f"skip_layers.{name}"] = value
    definition = {
        "_target_": "DynUNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        "filters": [4, 8],
        "kernel_size": [[3, 3, 1], 3],
        "strides": [1, [2, 1, 2]],
        "upsample_kernel_size": [[2, 1, 2]],
        "res_block": residual,
        "deep_supervision": True,
    }
    folder = write_bundle(tmp_path / "b", None, {**INFERENCE, "network_def": definition})
    torch.save({"state_dict": state}, folder / "models" / "model.pt")
    same_answers(import_any(folder), theirs)


def test_the_imported_model_segments_an_image_along_its_axes(tmp_path: Path) -> None:
    card = import_any(bundle(tmp_path / "spleen"))
    array = np.random.default_rng(0).normal(50, 60, (14, 20, 22)).astype(np.float32)
    image = Image(array, with_spacing((2.0, 1.0, 1.0)), "abdomen")
    stages = Stages(Progress(STAGES))
    found = segment(image, load_network(card), card, Request(str(card.folder), "CT"), "cpu", stages).labels.array
    assert found.shape == array.shape
    assert len(np.unique(found)) > 1


class Brighter(nn.Module):
    """Class 1 where a voxel is bright; it knows which axis is which: i is its first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-1.0, 1.0, x.shape[2], device=x.device).view(1, 1, -1, 1, 1)
        return torch.cat([torch.zeros_like(x), x + 0.0 * ramp, ramp.expand_as(x) - 0.5], 1)


def scripted(folder: Path, module: nn.Module | None = None) -> Path:
    """A bundle whose network MedAI does not have, as TorchScript."""
    write_bundle(folder, None, {**INFERENCE, "network_def": {"_target_": "SwinUNETR"}})
    torch.jit.save(torch.jit.script(module or Brighter()), folder / "models" / "model.ts")
    return folder


def test_torchscript_is_not_loaded_without_permission(tmp_path: Path, user_models: Path) -> None:
    with pytest.raises(CodeError, match="code that would run with your rights"):
        import_any(scripted(tmp_path / "b"))
    assert not user_models.exists()
    assert main(["import", str(tmp_path / "b")]) == CodeError.exit_status
    assert main(["import", str(tmp_path / "b"), "--allow-code"]) == 0


def test_allowed_torchscript_sees_its_own_axes_and_the_card_says_that_it_is_code(tmp_path: Path) -> None:
    card = import_any(scripted(tmp_path / "b"), Import(allow_code=True))
    assert card.code_allowed
    assert "Its weights hold code (TorchScript)" in card.text()
    image = torch.full((1, 1, 2, 3, 9), 0.1)
    with torch.inference_mode():
        found = load_network(find_model(card.name))(image).argmax(1)[0]
    assert found[0, 0].tolist() == [1] * 7 + [2] * 2
    assert (found == found[0, 0]).all()


def test_allowed_torchscript_segments(tmp_path: Path) -> None:
    card = import_any(scripted(tmp_path / "b"), Import(allow_code=True))
    array = np.random.default_rng(0).normal(50, 60, (14, 20, 22)).astype(np.float32)
    stages = Stages(Progress(STAGES))
    image = Image(array, with_spacing((2.0, 1.0, 1.5)), "abdomen")
    found = segment(image, load_network(card), card, Request(str(card.folder), "CT"), "cpu", stages).labels.array
    assert found.any()


def test_a_model_folder_from_elsewhere_cannot_allow_its_own_code(tmp_path: Path) -> None:
    card = import_any(scripted(tmp_path / "b"), Import(allow_code=True))
    elsewhere = Path(shutil.copytree(card.folder, tmp_path / "elsewhere" / card.name))
    with pytest.raises(CodeError):
        load_network(read_card(elsewhere))
    with pytest.raises(CodeError):
        import_any(elsewhere, Import(overwrite=True))
    assert import_any(elsewhere, Import(overwrite=True, allow_code=True)).code_allowed


def test_torchscript_with_other_classes_than_the_metadata_tell_of_is_refused(tmp_path: Path) -> None:
    metadata = copy.deepcopy(METADATA)
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] = 5
    folder = scripted(tmp_path / "b")
    write_bundle(folder, None, {**INFERENCE, "network_def": {"_target_": "SwinUNETR"}}, metadata)
    with pytest.raises(ModelError, match=r"with \(1, 3, 24, 8, 16\), where \(1, 5, 24, 8, 16\)"):
        import_any(folder, Import(allow_code=True))


def test_weights_that_hold_code_are_refused_and_the_code_not_run(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    torch.save({"state_dict": {}, "more": Touch(tmp_path / "was run")}, folder / "models" / "model.pt")
    with pytest.raises(ModelError, match="holds more than weights"):
        import_any(folder)
    assert not (tmp_path / "was run").exists()


Change = Callable[[dict[str, Any]], Any]


def _transform(**entry: Any) -> Change:
    return lambda config: config["preprocessing"]["transforms"].insert(4, {"keys": "image", **entry})


def _setting(number: int, **changes: Any) -> Change:
    return lambda config: config["preprocessing"]["transforms"][number].update(changes)


def _after(**entry: Any) -> Change:
    return lambda config: config["postprocessing"]["transforms"].insert(0, {"keys": "pred", **entry})


SPOILED: dict[str, tuple[Change, str]] = {
    "unknown transform": (_transform(_target_="HistogramNormalized"), "preprocessing has HistogramNormalized"),
    "own code": (_transform(_target_="Lambdad", func="$lambda x: x"), "preprocessing has Lambdad"),
    "two preparations": (
        _transform(_target_="NormalizeIntensityd"),
        "ScaleIntensityRange as a second step of its kind",
    ),
    "an expression": (_setting(3, pixdim="$[@s, 1, 1]"), r"expression '\$\[@s, 1, 1\]', which MedAI does not run"),
    "a spline": (_setting(3, mode=3), "Spacing with mode 3"),
    "kept spacing": (_setting(3, pixdim=[-1, 1, 1]), "Spacing with pixdim"),
    "no spacing": (lambda config: config["preprocessing"]["transforms"].pop(3), "has no Spacing"),
    "a margin": (_setting(5, margin=10), "CropForeground with margin"),
    "sigmoid": (_after(_target_="Activationsd", sigmoid=True), "sigmoid"),
    "a changed label": (_after(_target_="MapLabelValued"), "postprocessing has MapLabelValue"),
    "whole images": (lambda config: config["inferer"].update(_target_="SimpleInferer"), "the inferer is SimpleInferer"),
    "open window": (lambda config: config["inferer"].update(roi_size=[-1, 96, 96]), "roi_size"),
    "mirrored edge": (lambda config: config["inferer"].update(padding_mode="reflect"), "padding_mode is 'reflect'"),
    "unknown setting": (lambda config: config["network_def"].update(magic=1), "its UNet has the setting magic"),
    "pictures": (lambda config: config["network_def"].update(spatial_dims=2), "for 2D pictures"),
    "a circle": (lambda config: config.update(roi="@roi"), "go in a circle"),
    "a reference to nothing": (lambda config: config.update(inferer="@infer"), "@infer names nothing"),
    "other network": (lambda config: config["network_def"].update(_target_="SwinUNETR"), "its network is a SwinUNETR"),
    "one output": (lambda config: config["network_def"].update(out_channels=1), "one output, decided by a threshold"),
    "other widths": (lambda config: config["network_def"].update(channels=[8, 8]), "not the one that its description"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_cannot_be_imported_is_named(case: str, tmp_path: Path, user_models: Path) -> None:
    change, sentence = SPOILED[case]
    config = copy.deepcopy(INFERENCE)
    change(config)
    with pytest.raises(ModelError, match=sentence):
        import_any(write_bundle(tmp_path / "b", random_network("monai_unet", MONAI), config))
    assert not user_models.exists() or not any(user_models.iterdir())


@pytest.mark.parametrize(("part", "sentence"), [("metadata", "metadata"), ("inference", "inference configuration")])
def test_a_missing_file_is_named(part: str, sentence: str, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / "configs" / f"{part}.json").unlink()
    with pytest.raises(ModelError, match=rf"{part}\.json: is missing \(the bundle's {sentence}\)"):
        import_any(folder)


def test_a_configuration_in_yaml_is_named(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / "configs" / "inference.json").rename(folder / "configs" / "inference.yaml")
    with pytest.raises(ModelError, match="MedAI reads configs in JSON"):
        import_any(folder)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"_target_": "ScaleIntensityRangePercentilesD", "lower": 1, "upper": 99, "b_min": 0, "b_max": 1},
            {"method": "percentile_range", "low": 1.0, "high": 99.0, "to_low": 0.0, "to_high": 1.0, "clip": False},
        ),
        ({"_target_": "NormalizeIntensityDict", "nonzero": True}, {"method": "zscore", "foreground": True}),
        (
            {"_target_": "NormalizeIntensityd", "subtrahend": 10, "divisor": 5},
            {"method": "range", "low": 10.0, "high": 15.0, "to_low": 0.0, "to_high": 1.0, "clip": False},
        ),
        (
            {"_target_": "ScaleIntensityd", "minv": -1},
            {"method": "percentile_range", "low": 0, "high": 100, "to_low": -1.0, "to_high": 1.0, "clip": False},
        ),
    ],
)
def test_intensity_transforms_have_their_counterparts(
    entry: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    config = copy.deepcopy(INFERENCE)
    config["preprocessing"]["transforms"][4] = {"keys": "image", **entry}
    card = import_any(write_bundle(tmp_path / "b", random_network("monai_unet", MONAI), config))
    assert card.intensity == expected


def test_an_unpacked_folder_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"PK")
    with pytest.raises(ModelError, match="Unpack it"):
        import_any(tmp_path / "bundle.zip")
