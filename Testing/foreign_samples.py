"""Model folders as nnU-Net v2 and MONAI write them, made from networks of ours with the names of weights there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from MedAILib.networks import build

NNUNET = {
    "inputs": 1,
    "classes": 3,
    "features": [2, 4, 4],
    "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 1]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 1]],
    "layers": [2, 1, 2],
    "up_layers": [1, 2],
}
"""Arguments of our network, axes in the order of the plans."""


def random_network(name: str, arguments: dict[str, Any], seed: int = 0) -> nn.Module:
    """A network whose answers differ from voxel to voxel."""
    torch.manual_seed(seed)
    network = build(name, arguments).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def nnunet_names(state: dict[str, torch.Tensor], residual: bool) -> dict[str, torch.Tensor]:
    """Weights under nnU-Net's names, with all that it stores twice and the outputs that only its training uses."""
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "head":
            found[f"decoder.seg_layers.1.{parts[1]}"] = value
            found[f"decoder.seg_layers.0.{parts[1]}"] = torch.zeros(3, 4, 1, 1, 1) if value.ndim > 1 else value
        elif parts[0] == "enlarge":
            found[".".join(["decoder.transpconvs", *parts[1:]])] = value
        else:
            place = {"stem": "encoder.stem.convs.0", "refine": "decoder.stages.{1}.convs.{2}"}.get(parts[0])
            if place is None and residual:
                inner = {"first": "conv1", "second": "conv2", "shortcut": "skip.1"}[parts[3]]
                place = f"encoder.stages.{{1}}.blocks.{{2}}.{inner}"
            place = (place or "encoder.stages.{1}.0.convs.{2}").format(*parts)
            found[f"{place}.{parts[-2]}.{parts[-1]}"] = value
            found[f"{place}.all_modules.{int(parts[-2] == 'norm')}.{parts[-1]}"] = value
    return {**found, **{f"decoder.{name}": value for name, value in found.items() if name.startswith("encoder.")}}


def plans(residual: bool = False, transpose: tuple[int, ...] = (0, 1, 2), **configuration: Any) -> dict[str, Any]:
    """plans.json; further arguments replace entries of the configuration 3d_fullres."""
    blocks = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet."
        + ("ResidualEncoderUNet" if residual else "PlainConvUNet"),
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": NNUNET["features"],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": NNUNET["kernels"],
            "strides": NNUNET["strides"],
            blocks: NNUNET["layers"],
            "n_conv_per_stage_decoder": NNUNET["up_layers"],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }
    full = {
        "preprocessor_name": "DefaultPreprocessor",
        "patch_size": [8, 16, 24],
        "spacing": [3.0, 1.0, 2.0],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": architecture,
        **configuration,
    }
    return {
        "dataset_name": "Dataset007_Tiny",
        "plans_name": "nnUNetPlans",
        "transpose_forward": list(transpose),
        "image_reader_writer": "SimpleITKIO",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 50.0, "std": 20.0, "percentile_00_5": -10.0, "percentile_99_5": 120.0}
        },
        "configurations": {
            "3d_fullres": full,
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        },
    }


DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "tumor": 2},
    "licence": "CC0",
    "reference": "Someone, 2026",
}


def write_nnunet(
    folder: Path,
    network: nn.Module,
    fold: str = "0",
    plan: dict[str, Any] | None = None,
    dataset: dict[str, Any] | None = None,
    residual: bool = False,
    **checkpoint: Any,
) -> Path:
    """A result folder; further arguments replace entries of the checkpoint."""
    (folder / f"fold_{fold}").mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plan or plans(residual)), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(dataset or DATASET), encoding="utf-8")
    content = {
        "network_weights": nnunet_names(network.state_dict(), residual),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "logging": {"ema_fg_dice": [np.float64(0.5)], "dice_per_class_or_region": [[np.float32(0.4), np.float32(0.6)]]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 1000,
        "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
        **checkpoint,
    }
    torch.save(content, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


INFERENCE = {
    "imports": ["$import glob"],
    "roi": [16, 8, 24],
    "network_def": {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        "channels": [4, 8],
        "strides": [[2, 1, 2]],
        "num_res_units": 1,
        "norm": "BATCH",
        "dropout": 0.1,
    },
    "network": "$@network_def.to('cpu')",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "LPS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.0, 2.0], "mode": ["bilinear"]},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": -57,
                "a_max": 164,
                "b_min": 0.0,
                "b_max": 1.0,
                "clip": True,
            },
            {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"},
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@roi", "sw_batch_size": 4, "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "$@preprocessing", "orig_keys": "image"},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"},
        ],
    },
}
MONAI = {
    "inputs": 1,
    "classes": 3,
    "channels": [4, 8],
    "strides": [[2, 1, 2]],
    "units": 1,
    "norm": "batch",
}
"""Arguments of our network with MONAI's order of axes, (i, j, k)."""
METADATA = {
    "version": "1.2.3",
    "name": "Tiny spleen",
    "network_data_format": {
        "inputs": {"image": {"modality": "CT", "num_channels": 1, "channel_def": {"0": "image"}}},
        "outputs": {"pred": {"num_channels": 3, "channel_def": {"0": "background", "1": "spleen", "2": "cyst"}}},
    },
}


def write_bundle(
    folder: Path,
    network: nn.Module | None,
    config: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """A bundle with the weights as models/model.pt."""
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config or INFERENCE), encoding="utf-8")
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata or METADATA), encoding="utf-8")
    if network is not None:
        torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)
