"""Folders of tiny labeled cases: a bright ball with a brighter core, somewhere in noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from MedAILib.files import write_image
from MedAILib.geometry import Shape, Spacing, with_spacing
from MedAILib.image import Image, Kind

BALL, CORE = 1, 2
NAMES = ("first", "second", "third", "fourth", "fifth")


def ball_case(
    seed: int, shape: Shape = (16, 18, 20), spacing: Spacing = (1.0, 1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Image float32 and labels uint8, (k, j, i): a ball of 6 mm radius, core of 3 mm, in the middle or near it."""
    random = np.random.default_rng(seed)
    middle = (np.array(shape) - 1) / 2 * spacing + random.uniform(-1.5, 1.5, 3)
    points = np.stack(np.indices(shape), -1) * spacing
    distance = np.linalg.norm(points - middle, axis=-1)
    labels = np.where(distance <= 3.0, CORE, np.where(distance <= 6.0, BALL, 0)).astype(np.uint8)
    image = np.array([10.0, 60.0, 110.0])[labels] + random.normal(0.0, 4.0, shape)
    return image.astype(np.float32), labels


def write_cases(folder: Path, count: int = 4, **of_case: Any) -> Path:
    """``images/`` and ``labels/`` with ``count`` cases."""
    for number in range(count):
        image, labels = ball_case(number, **of_case)
        write_case(folder, NAMES[number], image, labels, of_case.get("spacing", (1.0, 1.0, 1.0)))
    return folder


def write_case(
    folder: Path, name: str, image: np.ndarray, labels: np.ndarray, spacing: Spacing = (1.0, 1.0, 1.0)
) -> None:
    """One case; an image (c, k, j, i) becomes ``NAME_0000``, ``NAME_0001``, …"""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    affine = with_spacing(spacing)
    channels = image if image.ndim == 4 else image[np.newaxis]
    for number, channel in enumerate(channels):
        mark = f"_{number:04d}" if image.ndim == 4 else ""
        write_image(folder / "images" / f"{name}{mark}.nii.gz", Image(channel, affine, name))
    write_image(folder / "labels" / f"{name}.nii.gz", Image(labels, affine, name, Kind.LABEL))


def recipe_values(**training: Any) -> dict[str, Any]:
    """JSON of a recipe that trains in a second or two."""
    return {
        "task": "cases",
        "network": {"name": "residual_unet", "arguments": {"widths": [4, 8], "convolutions": 1}},
        "plan": {"patch": [16, 16, 16]},
        "training": {
            "seed": 3,
            "steps": 100,
            "learning_rate": 0.01,
            "warmup": 5,
            "ema": 0.9,
            "batch": 2,
            "precision": "float32",
            "log_steps": 10,
            "epoch_steps": 25,
            **training,
        },
    }
