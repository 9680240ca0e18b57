"""Between world and voxel displacements: what the network's optimization gets, and what becomes of its answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from MedAILib.image import Image
from MedAILib.pipeline import register_refine
from MedAILib.registration.nio import Point, RefineResult
from MedAILib.registration.request import Pair
from MedAILib.transforms import Transform, warp_image
from register_tools import bump, scan, shift

CPU = torch.device("cpu")


def oblique_pair() -> tuple[Pair, Transform]:
    """A turned and flipped anisotropic scan, and what a bump and a shift make of it."""
    c, s = np.cos(0.4), np.sin(0.4)
    turn = np.array([[c, -s, 0, 3], [s, c, 0, -5], [0, 0, 1, 2], [0, 0, 0, 1]]) @ np.diag([-1.0, 1, 1.5, 1])
    fixed = scan((20, 24, 28))
    fixed = Image(fixed.array, turn @ fixed.affine, "fixed")
    transform = Transform((bump(fixed, 8.0), *Transform.from_matrix(shift()).parts))
    moving = warp_image(fixed, fixed, transform.inverse())
    return Pair(fixed, Image(moving.array, moving.affine, "moving")), transform


def answering(monkeypatch: pytest.MonkeyPatch, improved: bool) -> dict[str, Any]:
    """Puts an optimization in place that returns its start; what it got."""
    seen: dict[str, Any] = {}

    def refine(fixed: torch.Tensor, moving: torch.Tensor, start: torch.Tensor, **more: Any) -> RefineResult:
        seen.update(fixed=fixed, moving=moving, start=start, **more)
        return RefineResult(start, (Point(0, 0.0, True),), improved)

    monkeypatch.setattr(register_refine, "refine", refine)
    return seen


def test_the_start_leads_from_voxels_of_the_fixed_image_to_the_same_tissue_in_the_moving_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, transform = oblique_pair()
    seen = answering(monkeypatch, True)
    register_refine.refine_field(pair, transform, CPU, lambda fraction: None)
    fixed, moving, start = (seen[name].numpy() for name in ("fixed", "moving", "start"))

    def likeness(displacement: np.ndarray) -> float:
        warped = map_coordinates(moving, np.indices(fixed.shape) + displacement, order=1)
        return float(np.corrcoef(warped[fixed > 0], fixed[fixed > 0])[0, 1])

    wrong = (0 * start, -start, start[::-1], start * np.array([1, -1, 1]).reshape(3, 1, 1, 1))
    assert likeness(start) > max(map(likeness, wrong)) + 0.02
    assert fixed.min() >= 0 and fixed.max() <= 1


def test_a_displacement_that_stays_gives_the_transform_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, transform = oblique_pair()
    answering(monkeypatch, True)
    found = register_refine.refine_field(pair, transform, CPU, lambda fraction: None)
    assert found is not None
    k, j, i = np.meshgrid(range(4, 16, 3), range(4, 20, 4), range(4, 24, 5), indexing="ij")
    voxels = np.stack([i.ravel(), j.ravel(), k.ravel()], axis=1)
    points = voxels @ pair.fixed.affine[:3, :3].T + pair.fixed.affine[:3, 3]
    np.testing.assert_allclose(found.points(points), transform.points(points), atol=1e-3)


def test_nothing_better_or_nothing_to_improve_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, transform = oblique_pair()
    answering(monkeypatch, False)
    assert register_refine.refine_field(pair, transform, CPU, lambda fraction: None) is None
    assert register_refine.refine_field(pair, Transform.from_matrix(shift()), CPU, lambda fraction: None) is None


def test_the_mask_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    pair, transform = oblique_pair()
    mask = pair.fixed.with_array((pair.fixed.array > 0).astype(np.uint8))
    seen = answering(monkeypatch, True)
    register_refine.refine_field(replace(pair, fixed_mask=mask), transform, CPU, lambda fraction: None)
    assert float(seen["mask"].sum()) == mask.array.sum()
