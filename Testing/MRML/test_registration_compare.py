"""Looking at a registration in the slice views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedAILib.errors import UsageError
from MedAISlicer import mrml
from MedAISlicer.compare import View, checkerboard, difference, gray_range
from MedAISlicer.registration import results
from MedAISlicer.registration.compare import Comparison, possible
from MedAISlicer.registration.inputs import Inputs
from MedAISlicer.registration.outputs import Outputs
from MedAISlicer.targets import Target
from MRML.nodes import place
from registration_samples import ball, center_of, middle_of, result, shift

GRID = place((1.0, 1.0, 1.2), 12)
MIDDLE = middle_of(GRID)
ALL = Outputs(Target(True), Target(True), Target(True), Target(True))


@pytest.fixture
def views(scene: Any) -> list[Any]:
    """Two slice views."""
    return [scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name) for name in ("Red", "Green")]


@pytest.fixture
def inputs(scene: Any) -> Inputs:
    fixed = mrml.volume_from_image(scene, ball(GRID, MIDDLE))
    moving = mrml.volume_from_image(scene, ball(GRID, (MIDDLE[0] + 3, MIDDLE[1], MIDDLE[2])))
    fixed.SetName("Fixed")
    moving.SetName("Moving")
    return Inputs(fixed, moving)


def done(inputs: Inputs, outputs: Outputs = ALL) -> results.Result:
    images = mrml.image_from_node(inputs.fixed), mrml.image_from_node(inputs.moving)
    return results.write(inputs, outputs, [result(shift(3, 0, 0), *images, ("warped", "jacobian"))])


def comparison() -> Comparison:
    return Comparison(lambda: None)


def test_fade_shows_the_registered_volume_over_the_fixed_one(inputs: Inputs, views: list[Any]) -> None:
    shown, looking = done(inputs), comparison()
    looking.show(shown.table, View.FADE)
    looking.set_opacity(0.25)
    for view in views:
        assert view.GetBackgroundVolumeID() == inputs.fixed.GetID()
        assert view.GetForegroundVolumeID() == shown.volume.GetID()
        assert view.GetForegroundOpacity() == 0.25


def test_the_end_brings_back_what_the_views_showed(inputs: Inputs, views: list[Any]) -> None:
    views[0].SetBackgroundVolumeID(inputs.moving.GetID())
    views[0].SetForegroundOpacity(0.75)
    shown, looking = done(inputs), comparison()
    for view in View:
        looking.show(shown.table, view)
    looking.stop()
    assert views[0].GetBackgroundVolumeID() == inputs.moving.GetID()
    assert views[0].GetForegroundVolumeID() is None
    assert views[0].GetForegroundOpacity() == 0.75
    assert not shown.transform.GetDisplayNode().GetVisibility2D()
    assert looking.view is None


@pytest.mark.parametrize("view", [View.CHECKERBOARD, View.DIFFERENCE])
def test_volumes_made_for_looking_are_renewed_and_not_piled_up(
    scene: Any, inputs: Inputs, views: list[Any], view: View
) -> None:
    shown, looking = done(inputs), comparison()
    looking.show(shown.table, view)
    count = scene.GetNumberOfNodes()
    looking.show(shown.table, View.FADE)
    looking.show(shown.table, view)
    assert scene.GetNumberOfNodes() == count
    made = scene.GetNodeByID(views[0].GetBackgroundVolumeID())
    assert np.allclose(mrml.image_from_node(made).affine, GRID)


def test_squares_come_from_both_volumes_in_turn() -> None:
    fixed = ball(GRID, MIDDLE)
    mixed = checkerboard(fixed, fixed.with_array(np.zeros_like(fixed.array)))
    whole = checkerboard(fixed, fixed)
    share = np.count_nonzero(mixed.array) / np.count_nonzero(whole.array)
    assert 0.4 < share < 0.6
    assert mixed.array.max() <= 100


def test_the_difference_of_equal_volumes_of_another_brightness_is_nothing() -> None:
    fixed = ball(GRID, MIDDLE)
    brighter = fixed.with_array(fixed.array.astype(float) * 3 + 100)
    assert np.abs(difference(fixed, brighter).array).max() < 0.01
    elsewhere = ball(GRID, (MIDDLE[0] + 6, MIDDLE[1], MIDDLE[2]))
    apart = difference(fixed, elsewhere).array
    assert apart.max() > 90 and apart.min() < -90


def test_a_constant_or_broken_volume_has_a_range() -> None:
    assert gray_range(np.full((3, 3, 3), 7.0))[0] == 7.0
    assert gray_range(np.full((3, 3, 3), np.nan)) == (0.0, 1.0)


def test_the_grid_is_shown_by_the_transform_itself(inputs: Inputs, views: list[Any]) -> None:
    shown, looking = done(inputs), comparison()
    looking.show(shown.table, View.GRID)
    display = shown.transform.GetDisplayNode()
    assert display.GetVisualizationMode() == display.VIS_MODE_GRID
    assert display.GetVisibility() and display.GetVisibility2D()
    looking.show(shown.table, View.FADE)
    assert not display.GetVisibility2D()


def test_the_jacobian_map_lies_over_the_fixed_volume(inputs: Inputs, views: list[Any]) -> None:
    shown, looking = done(inputs), comparison()
    looking.show(shown.table, View.JACOBIAN)
    assert views[0].GetForegroundVolumeID() == shown.jacobian.GetID()


def test_without_a_registered_volume_it_is_made_from_the_transform(
    scene: Any, inputs: Inputs, views: list[Any]
) -> None:
    shown, looking = done(inputs, Outputs(Target(True), volume=Target(False))), comparison()
    looking.show(shown.table, View.FADE)
    image = mrml.image_from_node(scene.GetNodeByID(views[0].GetForegroundVolumeID()))
    assert np.allclose(center_of(image), MIDDLE, atol=0.15)


def test_with_its_own_voxels_the_registered_volume_is_compared_on_the_fixed_ones(
    inputs: Inputs, views: list[Any], scene: Any
) -> None:
    shown = done(inputs, Outputs(Target(True), volume=Target(True), own_voxels=True))
    comparison().show(shown.table, View.DIFFERENCE)
    made = mrml.image_from_node(scene.GetNodeByID(views[0].GetBackgroundVolumeID()))
    assert made.shape == mrml.image_from_node(inputs.fixed).shape
    assert np.abs(made.array).max() < 10


def test_what_cannot_be_shown_is_said(scene: Any, inputs: Inputs, views: list[Any]) -> None:
    shown = done(inputs, Outputs(Target(False), volume=Target(True)))
    assert possible(None, View.FADE)
    assert possible(shown.table, View.FADE) == ""
    assert "no transform" in possible(shown.table, View.GRID)
    assert "no Jacobian map" in possible(shown.table, View.JACOBIAN)
    with pytest.raises(UsageError, match="Transform of this result"):
        comparison().show(shown.table, View.GRID)
    scene.RemoveNode(inputs.fixed)
    assert "fixed volume" in possible(shown.table, View.FADE)
    with pytest.raises(UsageError, match="fixed volume"):
        comparison().show(shown.table, View.FADE)


def test_views_that_show_another_volume_are_brought_to_it(inputs: Inputs, views: list[Any]) -> None:
    shown, calls = done(inputs), []
    looking = Comparison(lambda: calls.append(1))
    looking.show(shown.table, View.FADE)
    looking.show(shown.table, View.FLICKER)
    assert calls == [1]
