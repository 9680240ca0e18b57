"""MONAI's transforms before and after a network as fields of a model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelError
from .monai_config import BundleConfig, target_of

_NO_EFFECT = {
    "LoadImage", "EnsureChannelFirst", "EnsureType", "AddChannel", "AsChannelFirst", "ToTensor", "CastToType",
    "Identity", "ToDevice", "SelectItems", "DeleteItems", "CopyItems",
}  # fmt: skip
_AFTERWARDS = {"Invert", "SaveImage", "AsDiscrete", "Activations"} | _NO_EFFECT
_LEFT_OUT = {"KeepLargestConnectedComponent", "RemoveSmallObjects", "FillHoles", "MedianSmooth"}
"""Steps after the network that MedAI does not take; the card says so."""
_CROP_DEFAULTS = {"margin": 0, "k_divisible": 1}


@dataclass
class Before:
    """What happens to an image before the network.

    Attributes:
        orientation: axis codes, or "stored".
        spacing: mm, (i, j, k) as MONAI has it; None if it stays.
        intensity: settings of one channel for :func:`MedAILib.pipeline.intensity.prepare`.
        crop: "none" or "positive".
        intensity_first: intensities are prepared before resampling.
    """

    orientation: str = "stored"
    spacing: list[float] | None = None
    intensity: dict[str, Any] = field(default_factory=lambda: {"method": "none"})
    crop: str = "none"
    intensity_first: bool = False


def transforms_of(config: BundleConfig, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Names without the d of dictionary transforms, and arguments, of a chain of transforms."""
    chain = config.get(name)
    if chain is None:
        return []
    entries = chain.get("transforms", []) if isinstance(chain, Mapping) else chain
    if not isinstance(entries, list):
        raise ModelError(f"{config.path}: {name} is no list of transforms that MedAI can read ({entries!r}).")
    found = []
    for entry in entries:
        kind = target_of(entry)
        if not kind:
            raise ModelError(f"{config.path}: {name} holds {entry!r}, which is no transform that MedAI can read.")
        if entry.get("_disabled_") not in (True, "true"):
            found.append((_plain_name(kind), entry))
    return found


def _plain_name(kind: str) -> str:
    """``Spacing`` for ``Spacingd``, ``SpacingD`` and ``SpacingDict``."""
    names = (kind.removesuffix(ending) for ending in ("Dict", "D", "d") if kind.endswith(ending))
    return next((name for name in names if name in _KNOWN), kind)


def read_before(config: BundleConfig, channels: int) -> Before:
    """Understand the preprocessing.

    Raises:
        ModelError: a transform, or a setting of one, has no counterpart here; the message names it.
    """
    before, order = Before(), []
    for name, entry in transforms_of(config, "preprocessing"):
        if name in _NO_EFFECT:
            continue
        if name not in _READERS:
            raise _unsupported(config, name, "")
        what = _READERS[name](before, config.plain(entry, f"{name} of preprocessing"), config, channels)
        if what in order:
            raise _unsupported(config, name, "as a second step of its kind")
        order.append(what)
    if "crop" in order and order[-1] != "crop":
        raise _unsupported(config, "CropForeground", "before other steps")
    if "intensity" in order and "spacing" in order:
        before.intensity_first = order.index("intensity") < order.index("spacing")
    return before


def check_after(config: BundleConfig) -> list[str]:
    """Look at the postprocessing: MedAI takes the class of the highest score, on the image's grid.

    Returns:
        Names of steps that are left out.

    Raises:
        ModelError: it is done in another way.
    """
    left_out = []
    for name, entry in transforms_of(config, "postprocessing"):
        if name == "Activations" and entry.get("sigmoid"):
            raise ModelError(
                f"{config.path}: each structure is decided for itself (sigmoid), so that a voxel may have several. "
                "MedAI shows one structure for each voxel, so it cannot import this network."
            )
        if name == "AsDiscrete" and not entry.get("argmax") and "threshold" in entry:
            raise ModelError(
                f"{config.path}: its result is a threshold, not the best of several classes. MedAI cannot."
            )
        if name in _LEFT_OUT:
            left_out.append(name)
        elif name not in _AFTERWARDS:
            raise ModelError(
                f"{config.path}: postprocessing has {name}, which MedAI cannot do. If its result does not need it, "
                "take it out."
            )
    return left_out


def _unsupported(config: BundleConfig, name: str, how: str) -> ModelError:
    what = f"{name} {how}".strip()
    return ModelError(
        f"{config.path}: preprocessing has {what}, which MedAI cannot do. It knows Orientation, Spacing, "
        "ScaleIntensityRange, ScaleIntensityRangePercentiles, ScaleIntensity, NormalizeIntensity and, at the end, "
        "CropForeground."
    )


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _orientation(before: Before, entry: Mapping[str, Any], config: BundleConfig, channels: int) -> str:
    codes = "RAS" if entry.get("as_closest_canonical") else str(entry.get("axcodes", "RAS"))
    before.orientation = codes.upper()
    return "orientation"


def _spacing(before: Before, entry: Mapping[str, Any], config: BundleConfig, channels: int) -> str:
    sizes = entry["pixdim"]
    sizes = [sizes] * 3 if isinstance(sizes, (int, float)) else list(sizes)
    mode, padding = str(_first(entry.get("mode", "bilinear"))).lower(), _first(entry.get("padding_mode", "border"))
    if len(sizes) != 3 or not all(isinstance(size, (int, float)) and size > 0 for size in sizes):
        raise _unsupported(config, "Spacing", f"with pixdim {sizes}")
    if mode not in ("bilinear", "trilinear", "linear") or str(padding).lower() != "border" or entry.get("scale_extent"):
        raise _unsupported(config, "Spacing", f"with mode {mode}, padding {padding} or scale_extent")
    before.spacing = [float(size) for size in sizes]
    return "spacing"


def _range(before: Before, entry: Mapping[str, Any], config: BundleConfig, channels: int) -> str:
    if entry.get("b_min") is None or entry.get("b_max") is None:
        raise _unsupported(config, "ScaleIntensityRange", "without b_min and b_max")
    names = {"low": "a_min", "high": "a_max", "to_low": "b_min", "to_high": "b_max"}
    before.intensity = {"method": "range", **{ours: float(entry[theirs]) for ours, theirs in names.items()}}
    before.intensity["clip"] = bool(entry.get("clip", False))
    return "intensity"


def _percentiles(before: Before, entry: Mapping[str, Any], config: BundleConfig, channels: int) -> str:
    if entry.get("relative") or entry.get("b_min") is None or entry.get("b_max") is None:
        raise _unsupported(config, "ScaleIntensityRangePercentiles", "that is relative, or without b_min and b_max")
    _each_channel(entry, config, channels, "ScaleIntensityRangePercentiles")
    names = {"low": "lower", "high": "upper", "to_low": "b_min", "to_high": "b_max"}
    before.intensity = {"method": "percentile_range", **{ours: float(entry[theirs]) for ours, theirs in names.items()}}
    before.intensity["clip"] = bool(entry.get("clip", False))
    return "intensity"


def _scale(before: Before, entry: Mapping[str, Any], config: BundleConfig, channels: int) -> str:
    low, high = entry.get("minv", 0.0), entry.get("maxv", 1.0)
    if entry.get("factor") is not None or low is None or high is None:
        raise _unsupported(config, "ScaleIntensity", "by a factor")
    _each_channel(entry, config, channels, "ScaleIntensity")
    whole = {"method": "percentile_range", "low": 0, "high": 100, "clip": False}
    before.intensity = {**whole, "to_low": float(low), "to_high": float(high)}
    return "intensity"


def _normalize(before: Before, entry: Mapping[str, Any], config: BundleConfig, channels: int) -> str:
    mean, sd, nonzero = entry.get("subtrahend"), entry.get("divisor"), bool(entry.get("nonzero", False))
    if mean is None and sd is None:
        _each_channel(entry, config, channels, "NormalizeIntensity")
        before.intensity = {"method": "zscore", "foreground": nonzero}
    elif isinstance(mean, (int, float)) and isinstance(sd, (int, float)) and sd > 0 and not nonzero:
        fixed = {"method": "range", "low": float(mean), "high": float(mean) + float(sd), "to_low": 0.0, "to_high": 1.0}
        before.intensity = {**fixed, "clip": False}
    else:
        raise _unsupported(config, "NormalizeIntensity", "with a mean and deviation of this kind")
    return "intensity"


def _each_channel(entry: Mapping[str, Any], config: BundleConfig, channels: int, name: str) -> None:
    if channels > 1 and not entry.get("channel_wise", False):
        raise _unsupported(config, name, "over all channels together (channel_wise false)")


def _crop(before: Before, entry: Mapping[str, Any], config: BundleConfig, channels: int) -> str:
    odd = [name for name, usual in _CROP_DEFAULTS.items() if _first(entry.get(name, usual)) != usual]
    if "select_fn" in entry or odd:
        raise _unsupported(config, "CropForeground", f"with {', '.join(odd) or 'select_fn'}")
    before.crop = "positive"
    return "crop"


_Reader = Callable[[Before, Mapping[str, Any], BundleConfig, int], str]
_READERS: dict[str, _Reader] = {
    "Orientation": _orientation,
    "Spacing": _spacing,
    "ScaleIntensityRange": _range,
    "ScaleIntensityRangePercentiles": _percentiles,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalize,
    "CropForeground": _crop,
}
_KNOWN: Sequence[str] = (*_READERS, *_AFTERWARDS, *_LEFT_OUT)
