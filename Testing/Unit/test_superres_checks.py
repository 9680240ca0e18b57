"""Bad input of a super-resolution: a clear sentence, or a warning and something that can be used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MedAILib.errors import ContentError, GeometryError, UsageError
from MedAILib.image import Image
from MedAILib.superres.checks import (
    axis_of,
    check_gain,
    check_others,
    check_scan,
    check_slices,
    check_thickness,
    role_of,
    with_role,
)
from MedAILib.superres.request import Scan, Scans, SuperresRequest
from superres_phantoms import thick_ball

ANY = SuperresRequest()


def grid(k: float, j: float, i: float) -> Image:
    values = np.random.default_rng(0).normal(size=(8, 9, 10))
    return Image(values, np.diag([i, j, k, 1.0]), "scan")


def test_a_good_scan_passes_without_a_word() -> None:
    scan = Scan(thick_ball(), 4.0, 4.0, "MR")
    checked, warnings = check_scan(scan)
    assert (checked.image, checked.thickness, warnings) == (scan.image, 4.0, [])
    assert list(check_slices(scan, 0)) == []
    assert list(check_thickness(scan.image, 0, 4.0)) == []


@pytest.mark.parametrize("thickness", [0.0, -3.0])
def test_a_thickness_in_the_header_that_cannot_be_is_not_believed(thickness: float) -> None:
    checked, warnings = check_scan(Scan(thick_ball(), thickness))
    assert checked.thickness is None
    assert [warned.code for warned in warnings] == ["thickness-tag"]


def test_voxels_that_are_not_finite_are_replaced_with_a_warning() -> None:
    image = thick_ball()
    image.array[3, 4, 5] = np.nan
    checked, warnings = check_scan(Scan(image))
    assert np.isfinite(checked.image.array).all()
    assert [warned.code for warned in warnings] == ["not-finite"]


def test_what_is_no_scan_is_refused_or_warned_of() -> None:
    image = thick_ball()
    with pytest.raises(ContentError, match="constant"):
        check_scan(Scan(image.with_array(np.ones(image.shape))))
    with pytest.raises(GeometryError, match="single slice"):
        check_scan(Scan(Image(image.array[:1], image.affine, "flat")))
    labels = image.with_array((image.array > 300).astype(np.uint8))
    assert [warned.code for warned in check_scan(Scan(labels))[1]] == ["label-map"]


def test_a_sheared_grid_is_refused() -> None:
    image = thick_ball()
    affine = image.affine.copy()
    affine[0, 2] += 1.5
    with pytest.raises(GeometryError, match="not perpendicular"):
        check_scan(Scan(Image(image.array, affine, "tilted")))


@pytest.mark.parametrize(
    ("spacing", "asked", "axis"),
    [
        ((4, 1, 1), "auto", 0),
        ((1, 4, 1), "auto", 1),
        ((1, 1, 4), "auto", 2),
        ((1, 1, 1), "auto", 0),
        ((0.999, 1, 1), "auto", 0),
        ((4, 1, 1), "i", 2),
        ((4, 1, 1), "k", 0),
    ],
)
def test_slices_follow_the_axis_with_the_largest_spacing(spacing: tuple, asked: str, axis: int) -> None:
    assert axis_of(grid(*spacing), SuperresRequest(axis=asked)) == axis


def test_thin_slices_of_large_pixels_are_recognized_by_their_header() -> None:
    image = grid(1.5, 3.2, 3.2)
    assert axis_of(image, ANY) == 1
    assert axis_of(image, ANY, 1.5) == 0
    assert axis_of(image, ANY, 3.2) == 1
    assert axis_of(grid(1, 5, 1), ANY, 5.0) == 1
    with pytest.raises(GeometryError, match="finer across its slices"):
        check_gain(image, 0, 1.5, 3.2, asked=False)


def test_a_wanted_spacing_that_the_slices_have_is_refused_for_what_it_is() -> None:
    with pytest.raises(GeometryError, match="has a slice every 5 mm already"):
        check_gain(grid(5, 1, 1), 0, None, 5.0, asked=False)


def test_an_isotropic_scan_is_refused_unless_its_slices_are_thick() -> None:
    image = grid(1.0, 0.9, 0.9)
    with pytest.raises(GeometryError, match="nearly isotropic already"):
        check_gain(image, 0, None, 0.9)
    with pytest.raises(GeometryError, match=r"slices 1 mm thick"):
        check_gain(image, 0, 1.0, 0.9)
    check_gain(image, 0, 3.0, 0.9)
    check_gain(image, 0, None, 0.5)


def test_a_wanted_spacing_that_is_coarser_than_the_slices_is_refused() -> None:
    with pytest.raises(UsageError, match="coarser than that of the slices"):
        check_gain(grid(4, 1, 1), 0, 4.0, 5.0)


def test_gaps_between_slices_are_told() -> None:
    (warned,) = check_thickness(grid(5, 1, 1), 0, 3.0)
    assert warned.code == "gaps" and "2 mm between two of them were not measured" in warned.message


def test_a_thickness_beyond_all_reason_is_refused_or_doubted() -> None:
    with pytest.raises(UsageError, match="more than all 8 slices together"):
        list(check_thickness(grid(4, 1, 1), 0, 40.0))
    assert [warned.code for warned in check_thickness(grid(0.5, 1, 1), 0, 4.0 + 0.0)] == []
    image = Image(np.zeros((100, 4, 4)), np.diag([1, 1, 0.5, 1.0]), "scan")
    assert [warned.code for warned in check_thickness(image, 0, 10.0)] == ["thick"]


def test_few_slices_and_a_contradiction_in_the_header_are_told() -> None:
    image = thick_ball(count=4)
    codes = [warned.code for warned in check_slices(Scan(image, between=2.0), 0)]
    assert codes == ["few-slices", "increment-tag"]


def test_the_role_of_a_further_scan_follows_from_its_grid() -> None:
    main, turned, sharp = thick_ball(), thick_ball(axis=2), grid(1, 1, 1)
    assert role_of(turned, main, 0, ANY) == "stack"
    assert role_of(sharp, main, 0, ANY) == "contrast"
    assert role_of(main, main, 0, ANY) == "contrast"
    assert role_of(main, main, 0, SuperresRequest(role="stack")) == "stack"
    assert role_of(turned, main, 0, SuperresRequest("dmdip")) == "contrast"


def test_the_method_is_known_once_the_role_is() -> None:
    scans = Scans(Scan(thick_ball()), (Scan(grid(1, 1, 1)),))
    assert with_role(scans, ANY).role == "contrast"
    assert with_role(Scans(Scan(thick_ball())), ANY).role == "auto"
    assert with_role(scans, SuperresRequest(role="stack")).role == "stack"


def test_stacks_that_do_not_overlap_are_refused() -> None:
    main, other = thick_ball(), thick_ball(axis=2)
    affine = other.affine.copy()
    affine[0, 3] += 500
    far = Scans(Scan(main), (Scan(replace(other, affine=affine, name="far")),))
    with pytest.raises(GeometryError, match="thick and far do not overlap"):
        list(check_others(far, 0, ("stack",)))
    assert list(check_others(far, 0, ("stack",), align=True)) == []
    assert list(check_others(Scans(Scan(main), (Scan(other),)), 0, ("stack",))) == []


def test_stacks_of_one_direction_are_doubted_and_mixed_roles_refused() -> None:
    main = thick_ball()
    both = Scans(Scan(main), (Scan(main), Scan(thick_ball(axis=1))))
    codes = [warned.code for warned in check_others(both, 0, ("stack", "stack"))]
    assert codes == ["same-direction"]
    with pytest.raises(UsageError, match="both stacks and another contrast"):
        list(check_others(both, 0, ("contrast", "stack")))
