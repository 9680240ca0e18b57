"""Transform files: the same points come out of SimpleITK, and of what other programs write."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedAILib.errors import ContentError, GeometryError, MedAIError, OutputExistsError, ReadError, WriteError
from MedAILib.files import read_transform, write_transform
from MedAILib.geometry import RAS_FROM_LPS
from MedAILib.image import Image
from MedAILib.transforms import IDENTITY, AffineTransform, DisplacementField, Transform
from transform_samples import OBLIQUE, SHAPE, deformable, matrix, points_by_itk, points_inside, smooth_field

LIKE = Image(np.zeros(SHAPE, np.uint8), OBLIQUE, "fixed")
POINTS = points_inside(LIKE)
LINEAR = Transform.from_matrix(matrix())
CHAIN = Transform((AffineTransform(matrix(2)), smooth_field(), AffineTransform(matrix(3)), smooth_field(2.0, 8)))

LINEAR_ENDINGS = [".tfm", ".txt", ".mat", ".h5"]
FIELD_ENDINGS = [".nii.gz", ".nii", ".nrrd", ".mha"]


def field_of_image(path: Path) -> sitk.DisplacementFieldTransform:
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


@pytest.mark.parametrize("ending", LINEAR_ENDINGS)
def test_a_linear_transform_stays_linear_and_exact(tmp_path: Path, ending: str) -> None:
    path = write_transform(tmp_path / f"t{ending}", LINEAR, LIKE)
    theirs = sitk.ReadTransform(str(path))
    assert theirs.IsLinear() and np.allclose(points_by_itk(theirs, POINTS), LINEAR.points(POINTS), atol=1e-9)
    again = read_transform(path).linear
    assert again is not None and np.allclose(again, matrix(), atol=1e-9)


@pytest.mark.parametrize("transform", [deformable(), CHAIN, IDENTITY], ids=["field and matrix", "chain", "identity"])
def test_an_h5_file_holds_every_part_in_its_order(tmp_path: Path, transform: Transform) -> None:
    path = write_transform(tmp_path / "t.h5", transform, LIKE)
    expected = transform.points(POINTS)
    assert np.abs(points_by_itk(sitk.ReadTransform(str(path)), POINTS) - expected).max() < 1e-3
    again = read_transform(path)
    assert np.abs(again.points(POINTS) - expected).max() < 1e-3
    assert [type(part) for part in again.parts] == [type(part) for part in transform.parts]


def test_an_h5_file_also_tells_itk_how_the_field_fades(tmp_path: Path) -> None:
    theirs = sitk.ReadTransform(str(write_transform(tmp_path / "t.h5", deformable(), LIKE)))
    around = (POINTS - POINTS.mean(axis=0)) * 1.6 + POINTS.mean(axis=0)
    assert np.abs(points_by_itk(theirs, around) - deformable().points(around)).max() < 1e-3


@pytest.mark.parametrize("ending", FIELD_ENDINGS)
@pytest.mark.parametrize("transform", [deformable(), LINEAR], ids=["deformable", "linear"])
def test_a_vector_image_holds_the_whole_displacement(tmp_path: Path, ending: str, transform: Transform) -> None:
    path = write_transform(tmp_path / f"t{ending}", transform, LIKE)
    expected = transform.points(POINTS)
    # The chain of field and matrix is sampled at the nodes; between them both are linear.
    assert np.abs(points_by_itk(field_of_image(path), POINTS) - expected).max() < 0.01
    assert np.abs(read_transform(path).points(POINTS) - expected).max() < 0.01


def test_a_matrix_saved_as_an_image_is_a_matrix_again(tmp_path: Path) -> None:
    path = write_transform(tmp_path / "t.nii.gz", LINEAR, LIKE)
    again = read_transform(path).linear
    assert again is not None and np.allclose(again, matrix(), atol=5e-3)
    far = np.array([[300.0, -200.0, 150.0]])
    assert np.abs(LINEAR.points(far) - read_transform(path).points(far)).max() < 0.1


def test_a_nifti_field_is_laid_out_as_ants_does(tmp_path: Path) -> None:
    """Five dimensions, vector intent, LPS components in mm."""
    path = write_transform(tmp_path / "t.nii", deformable(), LIKE)
    raw = path.read_bytes()
    k, j, i = SHAPE
    assert struct.unpack_from("<8h", raw, 40)[:6] == (5, i, j, k, 1, 3)
    assert struct.unpack_from("<h", raw, 68)[0] == 1007
    voxels = np.frombuffer(raw, "<f4", 3 * i * j * k, int(struct.unpack_from("<f", raw, 108)[0])).reshape(3, k, j, i)
    ras = deformable().displacements(SHAPE, OBLIQUE).image.array
    assert np.abs(voxels - ras * np.array([-1, -1, 1]).reshape(3, 1, 1, 1)).max() < 0.0021


def test_fields_with_the_displacement_intent_are_understood(tmp_path: Path) -> None:
    """Slicer's NIfTI fields: intent 1006, components in RAS."""
    path = write_transform(tmp_path / "t.nii", deformable(), LIKE)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<h", raw, 68, 1006)
    start, n = int(struct.unpack_from("<f", raw, 108)[0]), int(np.prod(SHAPE))
    voxels = np.frombuffer(raw, "<f4", 3 * n, start).reshape(3, n).copy()
    voxels[:2] *= -1
    raw[start : start + voxels.nbytes] = voxels.tobytes()
    path.write_bytes(raw)
    assert np.abs(read_transform(path).points(POINTS) - deformable().points(POINTS)).max() < 0.01


def euler() -> sitk.Transform:
    """Rotates about a center that is not the origin."""
    return sitk.Euler3DTransform((10.0, -5.0, 30.0), 0.2, -0.1, 0.4, (3.0, 7.0, -2.0))


def spline() -> sitk.Transform:
    transform = sitk.BSplineTransformInitializer(sitk.Image([40, 36, 44], sitk.sitkUInt8), [4, 5, 4], 3)
    count = len(transform.GetParameters())
    transform.SetParameters(np.random.default_rng(0).normal(0, 1.0, count).tolist())
    return transform


@pytest.mark.parametrize(
    ("theirs", "tolerance"),
    [
        (euler(), 1e-9),
        (sitk.TranslationTransform(3, (5.0, -3.0, 8.0)), 1e-9),
        (sitk.Similarity3DTransform(1.2, (0.0, 0.0, 1.0), 0.3, (1.0, 2.0, 3.0), (9.0, 8.0, 7.0)), 1e-9),
        (sitk.ScaleTransform(3, (1.1, 0.9, 1.3)), 1e-9),
        (sitk.CompositeTransform([euler(), sitk.ScaleTransform(3, (2.0, 1, 1)), euler()]), 1e-9),
        (spline(), 0.05),
        (sitk.CompositeTransform([euler(), spline()]), 0.05),
    ],
    ids=["euler", "translation", "similarity", "scale", "chain", "spline", "spline first"],
)
def test_the_kinds_of_transforms_that_others_write_are_understood(
    tmp_path: Path, theirs: sitk.Transform, tolerance: float
) -> None:
    path = tmp_path / "t.h5"
    sitk.WriteTransform(theirs, str(path))
    inside = np.random.default_rng(1).uniform(2, 34, (100, 3)) * [-1, -1, 1]
    assert np.abs(read_transform(path).points(inside) - points_by_itk(theirs, inside)).max() < tolerance


@pytest.mark.parametrize("kind", ["AffineTransform_float", "MatrixOffsetTransformBase_double"])
def test_matrices_of_older_programs_are_understood(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text(
        f"#Insight Transform File V1.0\n#Transform 0\nTransform: {kind}_3_3\n"
        "Parameters: 1 0 0 0 2 0 0 0 1 5 6 7\nFixedParameters: 0 0 0\n"
    )
    assert np.allclose(read_transform(path).points(np.array([[1.0, 1.0, 1.0]])), [[-4.0, -4.0, 8.0]])


def test_transforms_are_only_replaced_when_allowed(tmp_path: Path) -> None:
    for name in ("t.h5", "t.nii.gz"):
        path = tmp_path / name
        path.write_text("precious")
        with pytest.raises(OutputExistsError, match="exists already"):
            write_transform(path, deformable(), LIKE)
        assert path.read_text() == "precious"
        write_transform(path, deformable(), LIKE, overwrite=True)
        assert np.abs(read_transform(path).points(POINTS) - deformable().points(POINTS)).max() < 0.01
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.h5", "t.nii.gz"]


@pytest.mark.parametrize("ending", [".tfm", ".txt", ".mat"])
def test_a_deformable_transform_does_not_fit_into_a_linear_file(tmp_path: Path, ending: str) -> None:
    with pytest.raises(WriteError, match=r"linear transforms only.*\.h5"):
        write_transform(tmp_path / f"t{ending}", deformable(), LIKE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t.xyz", "missing/t.h5"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(WriteError, match=r"t\."):
        write_transform(tmp_path / name, LINEAR, LIKE)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_writer_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object, name: str) -> None:
        Path(name).write_text("half")
        raise RuntimeError("ITK ERROR: No space left on device")

    monkeypatch.setattr(sitk, "WriteTransform", refuse)
    with pytest.raises(WriteError, match="full"):
        write_transform(tmp_path / "t.h5", deformable(), LIKE)
    assert list(tmp_path.iterdir()) == []


def two_dimensional(path: Path) -> None:
    sitk.WriteTransform(sitk.Euler2DTransform(), str(path))


def singular(path: Path) -> None:
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        "Parameters: 1 0 0 0 1 0 0 0 0 0 0 0\nFixedParameters: 0 0 0\n"
    )


def not_finite(path: Path) -> None:
    image = sitk.GetImageFromArray(np.full((4, 4, 4, 3), np.nan), isVector=True)
    sitk.WriteImage(image, str(path))


def scalar(path: Path) -> None:
    sitk.WriteImage(sitk.Image([5, 5, 5], sitk.sitkFloat32), str(path))


def truncated(path: Path) -> None:
    whole = path.with_name(f"whole{''.join(path.suffixes)}")
    write_transform(whole, deformable(), LIKE)
    path.write_bytes(whole.read_bytes()[:-2000])


@pytest.mark.parametrize(
    ("name", "make", "error", "says"),
    [
        ("t.h5", None, ReadError, "does not exist"),
        ("t.h5", lambda path: path.write_bytes(b""), ReadError, "empty"),
        ("t.h5", lambda path: path.write_text("hello"), ReadError, "no transform file"),
        ("t.tfm", lambda path: path.write_text("hello"), ReadError, "no transform file"),
        ("t.h5", lambda path: path.mkdir(), ReadError, "folder"),
        ("t.h5", truncated, ReadError, "damaged"),
        ("t.nii.gz", truncated, ReadError, "truncated"),
        ("t.nrrd", truncated, ReadError, "truncated"),
        ("t.mha", truncated, ReadError, "truncated"),
        ("t.tfm", two_dimensional, ContentError, "2 dimensions"),
        ("t.tfm", singular, GeometryError, "singular"),
        ("t.nii.gz", not_finite, ContentError, "NaN"),
        ("t.nrrd", not_finite, ContentError, "NaN"),
        ("t.nii.gz", scalar, ContentError, "1 number"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(
    tmp_path: Path, name: str, make, error: type[MedAIError], says: str
) -> None:
    path = tmp_path / name
    if make is not None:
        make(path)
    with pytest.raises(error, match=says) as caught:
        read_transform(path)
    assert str(path) in str(caught.value)


def test_a_sheared_lattice_cannot_be_written(tmp_path: Path) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.4
    field = DisplacementField(Image(np.zeros((3, 5, 5, 5), np.float32), sheared, "sheared"))
    with pytest.raises(GeometryError, match="perpendicular"):
        write_transform(tmp_path / "t.h5", Transform((field,)), field.image)
    assert list(tmp_path.iterdir()) == [] and np.array_equal(RAS_FROM_LPS @ RAS_FROM_LPS, np.eye(4))
