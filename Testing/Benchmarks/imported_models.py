"""Small models as their own packages make them: nnU-Net v2 result folders and MONAI bundles, on hippocampus crops.

Every second sagittal plane is left out for training, so that nnU-Net plans thick slices along another axis than the
first, and full crops have to be resampled. nnU-Net's own planner plans, then the widths and the batch are cut down, so
that a minute of a processor core is enough for a network whose labels mean something.
"""

from __future__ import annotations

import json
import os
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
    os.environ["nnUNet_n_proc_DA"] = "0"  # the planner wants at least one, the training no further process
    dataset = json.loads((folder / "preprocessed" / DATASET / "dataset.json").read_text())
    for fold in range(folds):
        torch.manual_seed(fold)
        np.random.seed(fold)  # noqa: NPY002  # nnU-Net draws from numpy's shared generator
        given: dict[str, Any] = {**json.loads(file.read_text()), "continue_training": False}
        trainer = nnUNetTrainer(given, "3d_fullres", fold, dataset, torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, steps, 1
        trainer.run_training()
    return Path(trainer.output_folder_base)


def _narrow(configuration: dict[str, Any]) -> None:
    """Fewer features, smaller batches and windows, that a crop needs several of."""
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = FEATURES[: arguments["n_stages"]]
    if "n_blocks_per_stage" in arguments:
        arguments["n_blocks_per_stage"] = [1, 2, 2, 2, 2][: arguments["n_stages"]]
    configuration["batch_size"], configuration["patch_size"] = 2, list(PATCH)


def test_cases() -> tuple[Case, ...]:
    """Two crops that nothing was trained on."""
    return hippocampus().test[:2]
