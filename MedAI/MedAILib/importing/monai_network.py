"""MONAI's descriptions of networks as names and arguments of ours, and its names of weights as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .foreign import permuted, stored_axes
from .monai_config import TARGET, BundleConfig, target_of
from .reading import Tensors

AXES = (2, 1, 0)
"""MONAI's arrays have the axes (i, j, k): the stored axis of each of the network's."""
_DROPPED = ("dropout", "dropout_prob", "deep_supervision", "deep_supr_num", "spatial_dims", "dimensions", "in_channels")
"""Arguments that change nothing at prediction, or are looked at elsewhere."""

_LEVELS = (
    (r"^input_block\.", r"stages.0."),
    (r"^upsamples\.(\d+)\.transp_conv\.conv\.", r"enlarge.\1."),
    (r"^upsamples\.(\d+)\.conv_block\.", r"refine.\1."),
    (r"^output_block\.conv\.conv\.", r"head."),
)
_PLAIN = ((r"\.conv(\d)\.conv\.", ".{0}.conv."), (r"\.norm(\d)\.", ".{0}.norm."))


def network_of(config: BundleConfig) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of our network for the one that the bundle describes; None if MedAI has none like it.

    Raises:
        ModelError: it is one that MedAI has, with settings that it does not have.
    """
    found = config.get("network_def")
    found = found if target_of(found) else config.get("network")
    kind = target_of(found)
    if kind not in _READERS:
        return None
    given = dict(config.plain({key: value for key, value in found.items() if key != TARGET}, f"the {kind}"))
    if given.get("spatial_dims", given.get("dimensions", 3)) != 3:
        raise ModelError(f"{config.path}: its {kind} is for 2D pictures. MedAI imports MONAI's networks for volumes.")
    ends = {"inputs": given.get("in_channels", 1), "classes": given.pop("out_channels", 2)}
    try:
        name, arguments = _READERS[kind](
            {key: value for key, value in given.items() if key not in _DROPPED}, config.path
        )
    except KeyError as error:
        raise ModelError(f"{config.path}: its {kind} lacks {error}.") from error
    return name, {**arguments, **ends}


def network_name(config: BundleConfig) -> str:
    """What the bundle calls its network, for messages."""
    return target_of(config.get("network_def")) or target_of(config.get("network")) or "network"


def own_weights(name: str, arguments: Mapping[str, Any], tensors: Tensors) -> Tensors:
    """The weights under our names, kernels turned to the axes (k, j, i)."""
    if name == "nnunet":
        tensors = _of_dynunet(tensors, len(arguments["features"]), arguments["residual"] is not None)
    return permuted(tensors, AXES)


def _taken(given: dict[str, Any], names: Mapping[str, str], kind: str, path: Path) -> dict[str, Any]:
    """Arguments under our names; all must be known."""
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ModelError(f"{path}: its {kind} has the setting {unknown[0]}, which MedAI's does not have.")
    return {names[key]: value for key, value in given.items()}


def _turned(value: Any) -> Any:
    """A number, or one for each axis in our order."""
    return stored_axes(value, AXES) if isinstance(value, list) else value


def _unet(given: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    if str(given.pop("adn_ordering", "NDA")).replace("D", "") != "NA":
        raise ModelError(f"{path}: its UNet has another adn_ordering than NDA, which MedAI's does not have.")
    names = {
        "channels": "channels", "strides": "strides", "kernel_size": "kernel", "up_kernel_size": "up_kernel",
        "num_res_units": "units", "act": "act", "norm": "norm", "bias": "bias",
    }  # fmt: skip
    taken = {"units": 0, **_taken(given, names, "UNet", path)}
    for key in ("kernel", "up_kernel"):
        if key in taken:
            taken[key] = _turned(taken[key])
    taken["strides"] = [_turned(stride) for stride in taken["strides"]]
    return "monai_unet", taken


def _basic_unet(given: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    names = {name: name for name in ("features", "act", "norm", "bias", "upsample")}
    return "monai_basic_unet", _taken(given, names, "BasicUNet", path)


def _segresnet(given: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    groups, kind = given.pop("num_groups", 8), given.pop("norm_name", "")
    if kind:
        given["norm"] = [kind, {"num_groups": groups}]
    if given.pop("use_conv_final", True) is not True:
        raise ModelError(f"{path}: its SegResNet ends without its last convolution, which MedAI's does not.")
    names = {
        "init_filters": "filters", "blocks_down": "blocks_down", "blocks_up": "blocks_up", "act": "act", "norm": "norm",
        "upsample_mode": "upsample",
    }  # fmt: skip
    return "monai_segresnet", _taken(given, names, "SegResNet", path)


def _dynunet(given: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """The U-Net of nnU-Net, with other names, or with shortcuts of one strided convolution."""
    strides = [_per_axis(stride) for stride in given.pop("strides")]
    kernels = [_per_axis(kernel) for kernel in given.pop("kernel_size")]
    up = [_per_axis(stride) for stride in given.pop("upsample_kernel_size", strides[1:])]
    if up != strides[1:] or max(strides[0]) != 1:
        raise ModelError(f"{path}: its DynUNet does not enlarge by its strides, which MedAI's does.")
    levels, filters = len(strides), given.pop("filters", None)
    features = [min(2 ** (5 + level), 320) for level in range(levels)] if filters is None else list(filters[:levels])
    residual, trans_bias = bool(given.pop("res_block", False)), bool(given.pop("trans_bias", False))
    norm = given.pop("norm_name", ["instance", {"affine": True}])
    act = given.pop("act_name", ["leakyrelu", {"inplace": True, "negative_slope": 0.01}])
    _taken(given, {}, "DynUNet", path)
    return "nnunet", {
        "features": features,
        "kernels": [_turned(kernel) for kernel in kernels],
        "strides": [_turned(stride) for stride in strides],
        "layers": [1 if residual else 2] * levels,
        "up_layers": [2] * (levels - 1),
        "residual": "strided" if residual else None,
        "bias": False,
        "up_bias": trans_bias,
        "norm": norm,
        "act": act,
    }


def _per_axis(value: Any) -> list[int]:
    return [value] * 3 if isinstance(value, int) else [int(each) for each in value]


def _of_dynunet(tensors: Tensors, levels: int, residual: bool) -> Tensors:
    renamed = {}
    for name, value in tensors.items():
        if name.startswith(("skip_layers.", "deep_supervision_heads.")):
            continue  # the same parts once more, and outputs that only training uses
        name = re.sub(r"^downsamples\.(\d+)\.", lambda found: f"stages.{int(found[1]) + 1}.", name)
        name = re.sub(r"^bottleneck\.", f"stages.{levels - 1}.", name)
        for theirs, ours in _LEVELS:
            name = re.sub(theirs, ours, name)
        parts = ("0.first", "0.second", "0.shortcut") if residual and name.startswith("stages.") else ("0", "1", "2")
        for theirs, ours in _PLAIN:
            if found := re.search(theirs, name):
                name = name.replace(found[0], ours.format(parts[int(found[1]) - 1]))
        renamed[name] = value
    return renamed


_READERS = {
    "UNet": _unet,
    "Unet": _unet,
    "BasicUNet": _basic_unet,
    "BasicUnet": _basic_unet,
    "SegResNet": _segresnet,
    "DynUNet": _dynunet,
    "DynUnet": _dynunet,
}
KNOWN: Sequence[str] = ("UNet", "BasicUNet", "DynUNet", "SegResNet")
