"""Intensity preparation: the same for training, validation and every later image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ModelError

ENOUGH = 200_000  # voxels from which percentiles are taken; more do not change them visibly
_TINY = 1e-8
"""Smallest standard deviation or range that is divided by."""

Spec = Mapping[str, Any]


def prepare(array: np.ndarray, spec: Spec, foreground: np.ndarray | None = None) -> np.ndarray:
    """Bring intensities to the range that a network was trained on.

    Args:
        array: (k, j, i), any real type, finite; or (c, k, j, i), of which each channel is prepared for itself; a
            channel that is missing, NaN everywhere, stays so.
        spec: ``method`` and its settings:

            * ``percentile`` (low, high): percentiles of the foreground, which are the voxels that are not exactly 0
              (all voxels if there is no such one), become 0 and 1; what lies beyond is clipped;
            * ``zscore`` (foreground): minus mean, by standard deviation; with ``foreground`` true both are those of
              the foreground, and the rest stays as it is;
            * ``clip`` (low, high, mean, sd): clipped, minus mean, by standard deviation, all four those of the training
              data (CT);
            * ``range`` (low, high, to_low, to_high, clip): low and high become to_low and to_high;
            * ``percentile_range`` (the same): low and high are percentiles of all voxels;
            * ``minmax``: the lowest and highest value become 0 and 1;
            * ``none``;
            * ``channels`` (channels): a list of such settings, one for each channel.
        foreground: (k, j, i), True where ``zscore`` looks; by default where the array is not exactly 0.

    Returns:
        float32, same shape.

    Raises:
        ModelError: the method is unknown, or a setting is missing.
    """
    method = spec.get("method")
    try:
        if method == "channels":
            pairs = zip(array, spec["channels"], strict=True)
            return np.stack([_channel(channel, each, foreground) for channel, each in pairs])
        if array.ndim == 4:
            return np.stack([_channel(channel, spec, foreground) for channel in array])
        if method in METHODS:
            return METHODS[method](np.array(array, dtype=np.float32), spec, foreground)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f'The settings of the intensity preparation "{method}" do not fit: {error}.') from error
    raise ModelError(f'The model asks for an unknown intensity preparation, "{method}". Update MedAI.')


def is_missing(channel: np.ndarray) -> bool:
    """Whether a channel (k, j, i) stands for an input that is not there."""
    return channel.dtype.kind == "f" and bool(np.isnan(channel[0, 0, 0]))


def _channel(channel: np.ndarray, spec: Spec, foreground: np.ndarray | None) -> np.ndarray:
    return channel.astype(np.float32) if is_missing(channel) else prepare(channel, spec, foreground)


def _percentile(values: np.ndarray, spec: Spec, foreground: np.ndarray | None) -> np.ndarray:
    inside = values[values != 0]
    if not inside.size:
        inside = values.ravel()
    low, high = np.percentile(inside[:: max(1, inside.size // ENOUGH)], (spec["low"], spec["high"]))
    if not high > low:
        return np.zeros_like(values)
    values -= np.float32(low)
    values /= np.float32(high - low)
    return np.clip(values, 0.0, 1.0, out=values)


def _zscore(values: np.ndarray, spec: Spec, foreground: np.ndarray | None) -> np.ndarray:
    if not spec.get("foreground", False):
        values -= values.mean()
        values /= max(float(values.std()), _TINY)
        return values
    mask = values != 0 if foreground is None else foreground
    inside = values[mask]
    if inside.size:
        values[mask] = (inside - inside.mean()) / max(float(inside.std()), _TINY)
    return values


def _clip(values: np.ndarray, spec: Spec, foreground: np.ndarray | None) -> np.ndarray:
    np.clip(values, spec["low"], spec["high"], out=values)
    values -= np.float32(spec["mean"])
    values /= np.float32(max(spec["sd"], _TINY))
    return values


def _range(values: np.ndarray, spec: Spec, foreground: np.ndarray | None) -> np.ndarray:
    low, high, to_low, to_high = (float(spec[name]) for name in ("low", "high", "to_low", "to_high"))
    values -= np.float32(low)
    values *= np.float32((to_high - to_low) / max(high - low, _TINY))
    values += np.float32(to_low)
    return np.clip(values, min(to_low, to_high), max(to_low, to_high), out=values) if spec["clip"] else values


def _percentile_range(values: np.ndarray, spec: Spec, foreground: np.ndarray | None) -> np.ndarray:
    low, high = np.percentile(values, (spec["low"], spec["high"]))
    return _range(values, {**spec, "low": low, "high": high}, foreground)


def _minmax(values: np.ndarray, spec: Spec, foreground: np.ndarray | None) -> np.ndarray:
    values -= values.min()
    values /= max(float(values.max()), _TINY)
    return values


METHODS: dict[Any, Callable[[np.ndarray, Spec, np.ndarray | None], np.ndarray]] = {
    "percentile": _percentile,
    "zscore": _zscore,
    "clip": _clip,
    "range": _range,
    "percentile_range": _percentile_range,
    "minmax": _minmax,
    "none": lambda values, spec, foreground: values,
}
"""Each may change the float32 (k, j, i) array that it gets."""
