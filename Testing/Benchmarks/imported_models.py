"""Small models as their own packages make them: nnU-Net v2 result folders and MONAI bundles, on hippocampus crops.

Every second sagittal plane is left out for training, so that nnU-Net plans thick slices along another axis than the
first, and full crops have to be resampled. nnU-Net's own planner plans, then the widths and the batch are cut down, so
that a minute of a processor core is enough for a network whose labels mean something.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from networks_data import Case, hippocampus

DATASET = "Dataset101_Hippocampus"
CASES = 12
FEATURES = [8, 16, 32, 48, 48]
PATCH = [16, 32, 32]
"""Voxels of a window, smaller than a crop along all axes, in nnU-Net's order of axes."""


def thinned(path: Path, target: Path) -> None:
    """A copy without every second sagittal plane."""
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(image[::2, :, :], str(target))


def write_raw(folder: Path) -> None:
    """The data set as nnU-Net wants it."""
    raw = folder / "raw" / DATASET
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True, exist_ok=True)
    split = hippocampus()
    for case in split.train[:CASES]:
        thinned(case.image, raw / "imagesTr" / f"{case.name}_0000.nii.gz")
        thinned(case.labels, raw / "labelsTr" / f"{case.name}.nii.gz")
    labels = {"background": 0, **{name: value for value, name in split.classes.items()}}
    fields = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": CASES, "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps(fields), encoding="utf-8")


def nnunet_folder(folder: Path, steps: int, residual: bool = False, folds: int = 1) -> Path:
    """Plan, preprocess and train with nnU-Net.

    Args:
        folder: for everything that it writes.
        steps: of training.
        residual: the residual encoder instead of plain convolutions.
        folds: how many; each is trained for itself.

    Returns:
        The result folder.
    """
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "false", "nnUNet_def_n_proc": "1"}
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    if not (folder / "raw").is_dir():
        write_raw(folder)
    planner = "nnUNetPlannerResEncM" if residual else "ExperimentPlanner"
    name = "nnUNetResEncUNetMPlans" if residual else "nnUNetPlans"
    extract_fingerprints([101], num_processes=1, show_progress_bar=False)
    plan_experiments([101], planner)
    file = folder / "preprocessed" / DATASET / f"{name}.json"
    plans = json.loads(file.read_text())
    _narrow(plans["configurations"]["3d_fullres"])
    file.write_text(json.dumps(plans))
    preprocess([101], name, ("3d_fullres",), [1], show_progress_bar=False)
    os.environ |= {"nnUNet_n_proc_DA": "0"}  # the planner wants at least one, the training no further process
    dataset = json.loads((folder / "preprocessed" / DATASET / "dataset.json").read_text())
    for fold in range(folds):
        torch.manual_seed(fold)
        np.random.seed(fold)  # noqa: NPY002  # nnU-Net draws from numpy's shared generator
        given: dict[str, Any] = {**json.loads(file.read_text()), "continue_training": False}
        trainer = nnUNetTrainer(given, "3d_fullres", fold, dataset, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, steps, 1
        trainer.configure_optimizers = partial(_quick_optimizer, trainer)
        trainer.run_training()
    return Path(trainer.output_folder_base)


def _quick_optimizer(trainer: Any) -> tuple[Any, Any]:
    """Adam instead of nnU-Net's own, which wants a thousand epochs."""
    import torch

    optimizer = torch.optim.Adam(trainer.network.parameters(), 3e-3)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)


def _narrow(configuration: dict[str, Any]) -> None:
    """Fewer features, smaller batches and windows, that a crop needs several of."""
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = FEATURES[: arguments["n_stages"]]
    if "n_blocks_per_stage" in arguments:
        arguments["n_blocks_per_stage"] = [1] * arguments["n_stages"]
    configuration["batch_size"], configuration["patch_size"] = 2, list(PATCH)


def test_cases() -> tuple[Case, ...]:
    """Two crops that nothing was trained on."""
    return hippocampus().test[:2]


NETWORKS: dict[str, dict[str, Any]] = {
    "UNet": {"channels": [8, 16, 32, 48], "strides": [2, 2, 2], "num_res_units": 2, "norm": "BATCH"},
    "BasicUNet": {"features": [8, 8, 16, 32, 48, 8]},
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1, 2], "blocks_up": [1, 1]},
    "DynUNet": {
        "filters": [8, 16, 32],
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "res_block": True,
    },
}
"""Networks of MONAI, narrow."""

_INTENSITY: dict[str, dict[str, Any]] = {
    "UNet": {
        "_target_": "ScaleIntensityRangePercentilesd",
        "lower": 1,
        "upper": 99,
        "b_min": 0.0,
        "b_max": 1.0,
        "clip": True,
    },
    "BasicUNet": {"_target_": "ScaleIntensityRanged", "a_min": 0, "a_max": 1000, "b_min": 0, "b_max": 1, "clip": True},
    "SegResNet": {"_target_": "NormalizeIntensityd", "nonzero": True, "channel_wise": True},
    "DynUNet": {"_target_": "ScaleIntensityd"},
}
PIXDIM = [1.5, 1.0, 1.0]
WINDOW = [16, 32, 32]


def _bundle_config(network: str) -> dict[str, Any]:
    """As bundles have it: what happens before, in and after the network."""
    keys = {"keys": "image"}
    spacing = {"_target_": "Spacingd", **keys, "pixdim": PIXDIM, "mode": "bilinear"}
    return {
        "imports": ["$import torch"],
        "device": "$torch.device('cpu')",
        "network_def": {
            "_target_": network,
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 3,
            **NETWORKS[network],
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", **keys},
                {"_target_": "EnsureChannelFirstd", **keys},
                {"_target_": "Orientationd", **keys, "axcodes": "RAS"},
                spacing,
                {**_INTENSITY[network], **keys},
                {"_target_": "EnsureTyped", **keys},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": WINDOW,
            "sw_batch_size": 1,
            "overlap": 0.5,
            "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
    }


def monai_bundle(folder: Path, network: str, steps: int) -> Path:
    """Train one of :data:`NETWORKS` with MONAI and write its bundle, weights as model.pt and as model.ts.

    Args:
        folder: of the bundle.
        network: its name.
        steps: of training, on one window each.
    """
    import torch
    from monai.bundle import ConfigParser
    from monai.losses import DiceCELoss
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        Orientationd,
        RandCropByLabelClassesd,
        Spacingd,
        SpatialPadd,
    )

    torch.manual_seed(0)
    config = _bundle_config(network)
    split = hippocampus()
    names = {0: "background", **split.classes}
    image = {
        "type": "image",
        "modality": "MR",
        "num_channels": 1,
        "spatial_shape": WINDOW,
        "channel_def": {"0": "image"},
    }
    answer = {"type": "image", "num_channels": 3, "channel_def": {str(value): name for value, name in names.items()}}
    metadata = {
        "version": "0.1.0",
        "name": f"Hippocampus {network}",
        "description": "For the benchmark of imports only.",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": answer}},
    }
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=1), encoding="utf-8")
    (folder / "configs" / "inference.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    parser = ConfigParser(config)
    model, prepare = parser.get_parsed_content("network_def"), parser.get_parsed_content("preprocessing")
    truth = Compose(
        [
            LoadImaged(keys="label"),
            EnsureChannelFirstd(keys="label"),
            Orientationd(keys="label", axcodes="RAS"),
            Spacingd(keys="label", pixdim=PIXDIM, mode="nearest"),
            SpatialPadd(keys=["image", "label"], spatial_size=WINDOW),
        ]
    )
    cases = [truth(prepare({"image": str(c.image), "label": str(c.labels)})) for c in split.train[:CASES]]
    crop = RandCropByLabelClassesd(
        keys=["image", "label"],
        label_key="label",
        spatial_size=WINDOW,
        num_classes=3,
        num_samples=2,
        allow_smaller=False,
    ).set_random_state(0)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    for step in range(steps):
        patches = crop(cases[step % len(cases)])
        seen = torch.stack([patch["image"].as_tensor() for patch in patches])
        wanted = torch.stack([patch["label"].as_tensor() for patch in patches])
        optimizer.zero_grad()
        loss(model(seen), wanted).backward()
        optimizer.step()
    model.eval()
    torch.save(model.state_dict(), folder / "models" / "model.pt")
    torch.jit.save(torch.jit.script(model), folder / "models" / "model.ts")
    return folder
