"""A head of a few boxes and a recipe that trains on it in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from MedAILib.training.classes import ClassTable
from MedAILib.training.maps import LabelMap, label_map
from MedAILib.training.recipe import Recipe, recipe_from

OUTSIDE, FLUID = 500, 24
SPACING = (2.0, 2.0, 2.0)


def recipe_values(**training: Any) -> dict[str, Any]:
    """JSON of a recipe: white matter and cortex left and right, brain stem, fluid, one outer tissue."""
    return {
        "network": {
            "name": "residual_unet",
            "arguments": {"inputs": 1, "classes": 7, "widths": [8, 8, 16], "groups": 2, "fine_groups": 1},
        },
        "data": {"pattern": "*.nii.gz", "held_out": ["second"], "source": "boxes", "license": "CC0-1.0"},
        "classes": [
            {"report": 2, "from": [2, 25]},
            {"report": 3, "from": [3]},
            {"report": 16, "from": [16]},
            {"report": 41, "from": [41, 57]},
            {"report": 42, "from": [42]},
            {"report": None, "from": [FLUID, OUTSIDE]},
        ],
        "pairs": [[2, 41], [3, 42], [25, 57]],
        "outside": [FLUID, OUTSIDE],
        "fluid": [FLUID],
        "tissues": {
            "white": [2, 41],
            "gray": [3, 42],
            "stem": [16],
            "lesion": [25, 57],
            "fluid": [FLUID],
            "outer": [OUTSIDE],
        },
        "generator": {"spacing": list(SPACING)},
        "training": {
            "seed": 3,
            "steps": 6,
            "warmup": 2,
            "learning_rate": 4e-3,
            "patches": [[0.0, 2, [8, 8, 8]], [0.4, 1, [16, 16, 16]]],
            "precision": "float32",
            "log_steps": 1,
            "checkpoint_seconds": 1e9,
            "validation_seconds": 1e9,
            **training,
        },
        "validation": {"samples": 1, "shape": [16, 16, 16]},
        "card": {
            "name": "boxes",
            "title": "Boxes",
            "version": "1",
            "modality": ["MR"],
            "anatomy": "boxes",
            "window": {"patch": [16, 16, 16], "overlap": 0.5},
            "license": "CC0-1.0",
            "limits": ["Only for tests."],
        },
    }


def recipe(**training: Any) -> Recipe:
    return recipe_from(recipe_values(**training), "test.json")


def codes() -> np.ndarray:
    """int16 (k, j, i) = (20, 22, 24), RAS: nested boxes, a lesion on the left, a stem at the bottom."""
    labels = np.zeros((20, 22, 24), np.int16)
    labels[2:18, 2:20, 2:22] = OUTSIDE
    labels[3:17, 3:19, 3:21] = FLUID
    labels[6:16, 4:18, 4:12] = 3
    labels[6:16, 4:18, 12:20] = 42
    labels[8:14, 6:16, 6:11] = 2
    labels[8:14, 6:16, 13:18] = 41
    labels[10:12, 8:10, 7:9] = 25
    labels[3:7, 8:13, 9:15] = 16
    return labels


def table() -> ClassTable:
    return recipe().table


def head(name: str = "first") -> LabelMap:
    return label_map(name, codes(), SPACING, table())
