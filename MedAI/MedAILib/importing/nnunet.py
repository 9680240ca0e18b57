"""Result folders of nnU-Net v2 (Isensee et al. 2021): plans.json, dataset.json and checkpoints of folds.

What nnU-Net does around its network is in the card: the file's own axes, the box of what is not zero, intensities
before resampling, cubic resampling, linear logits on the way back. Axes that it turns (transpose_forward) are turned
in the weights. What remains different: logits are added in float32 where nnU-Net takes float16, and windows are not
mirrored unless that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..models.json_object import read_object
from .foreign import (
    ForeignModel,
    anatomy_of,
    input_names,
    intensity_of,
    label_entries,
    modality_of,
    model_name,
    permuted,
    stored_axes,
)
from .nnunet_network import network_of, own_names
from .reading import NUMBERS, Tensors, named_tensors, read_checkpoint

if TYPE_CHECKING:
    from .bring import Import

_CITATION = (
    "Isensee F. et al., nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation, "
    "Nature Methods 18, 2021"
)
_READERS = ("SimpleITKIO", "NibabelIO", "Tiff3DIO", "NaturalImage2DIO")
_REORIENTING = "NibabelIOWithReorient"
_RESAMPLING = {
    "resampling_fn_data": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_probabilities": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
}
"""nnU-Net's default, which is the one that MedAI has."""


def read_nnunet(folder: Path, wanted: Import) -> ForeignModel:
    """Understand a result folder.

    Raises:
        ModelError: something is missing, damaged, or not supported; the message names it.
    """
    folder, folds = _result_folder(folder, wanted.folds)
    plans = read_object(folder / "plans.json", "nnU-Net's plans")
    dataset = read_object(folder / "dataset.json", "nnU-Net's description of its data set")
    checkpoints = [_checkpoint(folder, fold, wanted.checkpoint) for fold in folds or _all_folds(folder, wanted)]
    try:
        return _converted(folder, plans, dataset, checkpoints, wanted)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(
            f"{folder}: its plans or checkpoint are not as nnU-Net v2 writes them ({type(error).__name__}: {error}). "
            "Get the whole model folder again."
        ) from error


def _result_folder(folder: Path, folds: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """The folder with the plans, when it, one of its folds, or the folder above was given."""
    if (folder / "plans.json").is_file():
        return folder, folds
    if (folder.parent / "plans.json").is_file():
        return folder.parent, folds or [folder.name.removeprefix("fold_")]
    inner = sorted(path.parent for path in folder.glob("*/plans.json"))
    if len(inner) > 1:
        names = ", ".join(path.name for path in inner)
        raise ModelError(f"{folder}: holds several results ({names}). Import one of these folders.")
    return inner[0], folds


def _all_folds(folder: Path, wanted: Import) -> list[str]:
    """As nnU-Net: all numbered folds that have the checkpoint, else the one that was trained on all cases."""
    have = [
        path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/checkpoint_{wanted.checkpoint}.pth")
    ]
    if not have:
        raise ModelError(
            f"{folder}: no fold has a checkpoint_{wanted.checkpoint}.pth. Finish it, or use --checkpoint best."
        )
    return sorted(fold for fold in have if fold.isdigit()) or have[:1]


def _checkpoint(folder: Path, fold: str, which: str) -> Mapping[str, Any]:
    path = folder / f"fold_{fold}" / f"checkpoint_{which}.pth"
    found = read_checkpoint(path, NUMBERS)
    if not isinstance(found, Mapping) or "network_weights" not in found:
        raise ModelError(f"{path}: is no checkpoint of nnU-Net v2. MedAI does not import nnU-Net v1.")
    return {**found, "network_weights": named_tensors(found["network_weights"], path), "path": path}


def _converted(
    folder: Path,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    checkpoints: Sequence[Mapping[str, Any]],
    wanted: Import,
) -> ForeignModel:
    name = checkpoints[0]["init_args"]["configuration"]
    plan = _configuration(plans, name, folder)
    dims = len(plan["patch_size"])
    order = [int(axis) for axis in plans["transpose_forward"]]
    if dims == 2 and order != [0, 1, 2]:
        raise ModelError(
            f"{folder}: its 2D network goes through slices along axis {order[0]} of the file, which MedAI cannot do. "
            "Import the 3d_fullres network."
        )
    axes = order if dims == 3 else [0, 1]
    channels = _channels(dataset)
    labels = _labels(dataset, folder)
    kind, arguments = network_of(plan, axes, folder)
    given = {"inputs": len(channels), "classes": len(labels) + 1}
    tensors = [permuted(own_names(each["network_weights"]), axes) for each in checkpoints]
    mirror = _mirrored(checkpoints[0], axes, dims) if wanted.mirror else []
    network, weights = _assembled(kind, arguments, given, tensors, mirror, dims)
    patch, spacing = stored_axes(plan["patch_size"], axes), stored_axes(plan["spacing"], axes)
    reoriented = plans.get("image_reader_writer") == _REORIENTING
    if dims == 2 and reoriented:
        raise ModelError(
            f"{folder}: its 2D network wants slices of the RAS axes, which MedAI cannot do. Import 3d_fullres."
        )
    title = str(plans["dataset_name"])
    card = {
        "name": model_name(wanted.name, f"{title} {name}"),
        "title": f"{title}, {name} of nnU-Net",
        "description": str(dataset.get("description", "") or f"{len(labels)} structures, trained with nnU-Net v2."),
        "modality": modality_of(wanted.modality, channels, folder),
        "anatomy": anatomy_of(labels),
        "license": str(dataset.get("licence") or dataset.get("license") or "not stated; ask whoever trained the model"),
        "input_channels": len(channels),
        "inputs": input_names(channels, len(channels)),
        "spacing": [float(size) for size in (spacing if dims == 3 else [1.0, *spacing])],
        "orientation": "RAS" if reoriented else "stored" if dims == 3 else "stored-slices",
        "intensity": _intensity(plan, plans, len(channels), folder),
        "preparation": {"crop": "nonzero", "resampling": "nnunet", "intensity_first": True},
        "network": network,
        "labels": label_entries(labels),
        "window": {
            "patch": [int(side) for side in (patch if dims == 3 else [1, *patch])],
            "overlap": 0.5,
            "weighting": "nnunet",
        },
        "training": _training(folder, title, checkpoints),
        "limits": _limits(network, channels),
        "citations": [_CITATION, *([str(dataset["reference"])] if dataset.get("reference") else [])],
    }
    return ForeignModel(folder, card, weights)


def _configuration(plans: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """One configuration of the plans with what it inherits, if it is one that MedAI can run."""
    found = dict(plans["configurations"][name])
    while "inherits_from" in found:
        above = plans["configurations"][found.pop("inherits_from")]
        found = {**above, **found}
    if found.get("previous_stage"):
        raise ModelError(
            f"{folder}: {name} refines the result of another network ({found['previous_stage']}), which MedAI "
            "cannot do. Import that network, or one trained as 3d_fullres."
        )
    if found.get("preprocessor_name", "DefaultPreprocessor") != "DefaultPreprocessor":
        raise ModelError(f"{folder}: it prepares images in its own way ({found['preprocessor_name']}); MedAI cannot.")
    reader = plans.get("image_reader_writer", _READERS[0])
    if reader not in (*_READERS, _REORIENTING):
        raise ModelError(f"{folder}: it reads images in its own way ({reader}); MedAI cannot.")
    for key, settings in _RESAMPLING.items():
        way, given = found.get(key, "resample_data_or_seg_to_shape"), found.get(f"{key}_kwargs", settings)
        if way != "resample_data_or_seg_to_shape" or {**settings, **given} != settings:
            raise ModelError(f"{folder}: {key} is {way} with {given}; MedAI has nnU-Net's default only.")
    return found


def _channels(dataset: Mapping[str, Any]) -> list[str]:
    names = dataset.get("channel_names", dataset.get("modality"))
    if not isinstance(names, Mapping) or not names:
        raise ModelError('dataset.json has no channel_names. Add them, e.g. {"0": "CT"}.')
    return [str(names[key]) for key in sorted(names, key=int)]


def _labels(dataset: Mapping[str, Any], folder: Path) -> dict[int, str]:
    """Names of the values from 1 on."""
    found: dict[int, str] = {}
    for name, value in dataset["labels"].items():
        if name == "ignore":
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        if len(values) > 1:
            raise ModelError(
                f"{folder}: its labels are regions that overlap ({name} is made of {len(values)} labels), so that a "
                "voxel has several answers. MedAI shows one structure for each voxel, so it cannot import this network."
            )
        found[int(values[0])] = str(name)
    found.pop(0, None)
    if sorted(found) != list(range(1, len(found) + 1)) or not found:
        raise ModelError(
            f"{folder}: dataset.json has the label values {sorted(found)}; they must be 1, 2, 3, and so on."
        )
    return found


def _intensity(plan: Mapping[str, Any], plans: Mapping[str, Any], count: int, folder: Path) -> dict[str, Any]:
    properties = plans.get(
        "foreground_intensity_properties_per_channel", plans.get("foreground_intensity_properties_by_modality", {})
    )
    specs: list[dict[str, Any]] = []
    for channel, (scheme, masked) in enumerate(
        zip(plan["normalization_schemes"], plan["use_mask_for_norm"], strict=True)
    ):
        if scheme == "ZScoreNormalization":
            specs.append({"method": "zscore", "foreground": bool(masked)})
        elif scheme == "CTNormalization":
            known = properties[str(channel)]
            names = {"low": "percentile_00_5", "high": "percentile_99_5", "mean": "mean", "sd": "std"}
            specs.append({"method": "clip", **{ours: float(known[theirs]) for ours, theirs in names.items()}})
        elif scheme == "NoNormalization":
            specs.append({"method": "none"})
        elif scheme == "RescaleTo01Normalization":
            specs.append({"method": "minmax"})
        elif scheme == "RGBTo01Normalization":
            specs.append({"method": "range", "low": 0, "high": 255, "to_low": 0, "to_high": 1, "clip": False})
        else:
            raise ModelError(f"{folder}: intensities are prepared by {scheme}, which MedAI does not have.")
    if len(specs) != count:
        raise ValueError(f"{len(specs)} normalization schemes for {count} channels")
    return intensity_of(specs)


def _mirrored(checkpoint: Mapping[str, Any], axes: Sequence[int], dims: int) -> list[int]:
    """The stored axes (0, 1, 2 for k, j, i) along which the network was trained on mirrored images."""
    allowed = checkpoint.get("inference_allowed_mirroring_axes") or ()
    return sorted(axes[int(axis)] + (3 - dims) for axis in allowed)


def _assembled(
    kind: str,
    arguments: Mapping[str, Any],
    given: Mapping[str, Any],
    tensors: Sequence[Tensors],
    mirror: Sequence[int],
    dims: int,
) -> tuple[dict[str, Any], Tensors]:
    """Network entry of the card and weights: one network, one for each slice, or several that vote."""
    weights = list(tensors)
    if dims == 2:
        arguments, kind = {"network": kind, "arguments": dict(arguments)}, "slicewise"
        weights = [{f"network.{name}": value for name, value in each.items()} for each in weights]
    if len(weights) == 1 and not mirror:
        return {"name": kind, "arguments": {**arguments, **given}}, weights[0]
    voting = {"network": kind, "arguments": dict(arguments), "members": len(weights), "mirror": list(mirror), **given}
    joined = {f"members.{n}.{name}": value for n, each in enumerate(weights) for name, value in each.items()}
    return {"name": "averaged", "arguments": voting}, joined


def _training(folder: Path, title: str, checkpoints: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    epochs = [each.get("current_epoch") for each in checkpoints]
    return {
        "data": title,
        "command": "imported from nnU-Net v2",
        "seed": 0,
        "source": folder.name,
        "trainer": str(checkpoints[0].get("trainer_name", "")),
        "folds": [each["path"].parent.name.removeprefix("fold_") for each in checkpoints],
        "epochs": [int(epoch) for epoch in epochs if isinstance(epoch, int)],
    }


def _limits(network: Mapping[str, Any], channels: Sequence[str]) -> list[str]:
    limits = [
        "Imported from nnU-Net v2, whose postprocessing (removal of small parts), if it was found useful, is left out."
    ]
    arguments = network["arguments"]
    if network["name"] == "averaged":
        members, mirrorings = arguments["members"], 2 ** len(arguments["mirror"])
        limits.append(
            f"{members} networks and {mirrorings} mirrorings vote, which takes {members * mirrorings} times as long."
        )
    if len(channels) > 1:
        limits.append(f"Needs {len(channels)} images at once, in this order: {', '.join(channels)}.")
    return limits
