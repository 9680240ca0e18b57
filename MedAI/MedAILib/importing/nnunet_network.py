"""nnU-Net's description of a network as arguments of ours, and its names of weights as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .foreign import stored_axes
from .reading import Tensors

_ACTIVATIONS = {
    "LeakyReLU": "leakyrelu",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "ELU": "elu",
    "PReLU": "prelu",
}
_NORMALIZATIONS = {"InstanceNorm": "instance", "BatchNorm": "batch"}
_UNUSED = ("bottleneck_channels", "squeeze_excitation", "stochastic_depth_p", "nonlin_first", "pool_type")
"""Arguments that change the network and that MedAI's does not have."""

_DUPLICATES = re.compile(r"\.all_modules\.|^decoder\.encoder\.")
"""nnU-Net's modules hold some of their parts twice."""
_NAMES = (
    (r"^encoder\.stem\.convs\.0\.", "stem."),
    (r"^encoder\.stages\.(\d+)\.0\.convs\.(\d+)\.", r"stages.\1.\2."),
    (r"^encoder\.stages\.(\d+)\.blocks\.(\d+)\.conv1\.", r"stages.\1.\2.first."),
    (r"^encoder\.stages\.(\d+)\.blocks\.(\d+)\.conv2\.", r"stages.\1.\2.second."),
    (r"^encoder\.stages\.(\d+)\.blocks\.(\d+)\.skip\.\d+\.", r"stages.\1.\2.shortcut."),
    (r"^decoder\.transpconvs\.(\d+)\.", r"enlarge.\1."),
    (r"^decoder\.stages\.(\d+)\.convs\.(\d+)\.", r"refine.\1.\2."),
)


def network_of(plan: Mapping[str, Any], axes: Sequence[int], folder: Path) -> tuple[str, dict[str, Any]]:
    """Name and arguments, without inputs and classes, of the network of a configuration.

    Args:
        plan: the configuration.
        axes: the stored axis of each of the network's.
        folder: for messages.

    Raises:
        ModelError: it is of a kind that MedAI does not have.
    """
    kind, given = _described(plan, folder)
    levels = int(given["n_stages"])
    residual = kind == "ResidualEncoderUNet"
    block = str(given.get("block", "BasicBlockD"))
    odd = [name for name in _UNUSED if given.get(name) not in (None, False, 0, 0.0, "conv")]
    if odd or not block.endswith("BasicBlockD"):
        raise ModelError(f"{folder}: its network has {', '.join(odd) or block}, which MedAI's does not have.")
    features = _each(given["features_per_stage"], levels)
    return "nnunet", {
        "features": features,
        "kernels": [stored_axes(_each(kernel, len(axes)), axes) for kernel in _each(given["kernel_sizes"], levels)],
        "strides": [stored_axes(_each(stride, len(axes)), axes) for stride in _each(given["strides"], levels)],
        "layers": _each(given["n_blocks_per_stage" if residual else "n_conv_per_stage"], levels),
        "up_layers": _each(given["n_conv_per_stage_decoder"], levels - 1),
        "residual": "pooled" if residual else None,
        "stem": (given.get("stem_channels") or features[0]) if residual else None,
        "bias": bool(given["conv_bias"]),
        "up_bias": bool(given["conv_bias"]),
        "norm": _layer(given["norm_op"], given.get("norm_op_kwargs"), _NORMALIZATIONS, folder),
        "act": _layer(given["nonlin"], given.get("nonlin_kwargs"), _ACTIVATIONS, folder),
    }


def _described(plan: Mapping[str, Any], folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Class name and arguments, as today's plans have them or those before version 2.4."""
    if "architecture" in plan:
        kind = str(plan["architecture"]["network_class_name"]).rsplit(".", 1)[-1]
        given = plan["architecture"]["arch_kwargs"]
    else:
        kind = str(plan["UNet_class_name"])
        levels, first = len(plan["n_conv_per_stage_encoder"]), plan["UNet_base_num_features"]
        count = "n_blocks_per_stage" if kind == "ResidualEncoderUNet" else "n_conv_per_stage"
        given = {
            "n_stages": levels,
            "features_per_stage": [min(first * 2**level, plan["unet_max_num_features"]) for level in range(levels)],
            "kernel_sizes": plan["conv_kernel_sizes"],
            "strides": plan["pool_op_kernel_sizes"],
            count: plan["n_conv_per_stage_encoder"],
            "n_conv_per_stage_decoder": plan["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": "InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        }
    if kind not in ("PlainConvUNet", "ResidualEncoderUNet"):
        raise ModelError(
            f"{folder}: its network is a {kind}. MedAI imports nnU-Net's PlainConvUNet and ResidualEncoderUNet."
        )
    return kind, given


def _each(value: Any, count: int) -> list[Any]:
    return [value] * count if isinstance(value, int) else list(value)[:count]


def _layer(path: Any, settings: Mapping[str, Any] | None, known: Mapping[str, str], folder: Path) -> list[Any]:
    name = str(path).rsplit(".", 1)[-1].removesuffix("2d").removesuffix("3d")
    if name not in known:
        raise ModelError(f"{folder}: its network has layers of kind {path}, which MedAI's does not have.")
    return [known[name], dict(settings or {})]


def own_names(tensors: Tensors) -> Tensors:
    """The weights that prediction needs, by the names of our network."""
    kept = {name: value for name, value in tensors.items() if not _DUPLICATES.search(name)}
    outputs = [int(found[1]) for name in kept if (found := re.match(r"decoder\.seg_layers\.(\d+)\.", name))]
    last = f"decoder.seg_layers.{max(outputs, default=0)}."
    renamed = {}
    for name, value in kept.items():
        if name.startswith("decoder.seg_layers.") and not name.startswith(last):
            continue
        name = name.replace(last, "head.")
        for theirs, ours in _NAMES:
            name = re.sub(theirs, ours, name)
        renamed[name] = value
    return renamed
