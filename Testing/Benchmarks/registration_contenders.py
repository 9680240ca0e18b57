"""The peers of the registration table: each reads two files and writes the displacement it found.

    python registration_contenders.py PEER FIXED MOVING FIELD

is the whole of a peer's process. FIELD is a displacement image as ITK and ANTs write it (mm, LPS, on the fixed grid;
fixed points to moving points). The pairs are affinely aligned, so no peer does a linear step of its own, and every
setting not named in ``settings`` is the package's default. Imports are inside: a peer must not pay for another's
libraries.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Peer:
    """A registration method of others.

    Attributes:
        package: what brings it, by its name on PyPI.
        settings: what it is called with, for the notes below the table.
        register: reads (fixed, moving), writes the displacement file; the last argument is the torch device.
    """

    package: str
    settings: str
    register: Callable[[Path, Path, Path, str], None]

    @property
    def version(self) -> str | None:
        """Of the installed package; None where it is missing."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


def greedy(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """Greedy diffeomorphic registration of the University of Pennsylvania."""
    from picsl_greedy import Greedy3D

    # By name: the tool splits its command at blanks.
    with TemporaryDirectory() as folder:
        for name, source in (("fixed", fixed), ("moving", moving)):
            (Path(folder) / f"{name}.nii.gz").symlink_to(source.resolve())
        images = f"-i {folder}/fixed.nii.gz {folder}/moving.nii.gz -o {folder}/field.nii.gz"
        Greedy3D().execute(f"-m NCC 2x2x2 -n 100x50x10 {images}")
        shutil.move(Path(folder) / "field.nii.gz", field)


def ants_syn(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """ANTs' symmetric normalization as antspyx calls it by default: mutual information."""
    _ants(fixed, moving, field)


def ants_syn_cc(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """The same with local cross-correlation, and the iterations that go with it in ANTs' own scripts."""
    _ants(fixed, moving, field, syn_metric="CC", syn_sampling=2, reg_iterations=(100, 70, 50, 20))


def _ants(fixed: Path, moving: Path, field: Path, **settings: Any) -> None:
    import ants

    images = [ants.image_read(str(path)) for path in (fixed, moving)]
    with TemporaryDirectory() as folder:
        found = ants.registration(*images, "SyNOnly", initial_transform="Identity", outprefix=f"{folder}/", **settings)
        # The linear part beside it is the identity.
        warp = next(path for path in found["fwdtransforms"] if path.endswith("Warp.nii.gz"))
        shutil.move(warp, field)


def demons(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """SimpleITK's diffeomorphic demons over three levels, after histogram matching."""
    import SimpleITK as sitk

    images = [sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (fixed, moving)]
    images[1] = sitk.HistogramMatching(images[1], images[0], 1024, 7, True)
    demon = sitk.DiffeomorphicDemonsRegistrationFilter()
    demon.SetStandardDeviations(1.5)
    found = None
    for shrink, iterations in ((4, 100), (2, 50), (1, 20)):
        level = [_shrunk(image, shrink) for image in images]
        demon.SetNumberOfIterations(iterations)
        found = demon.Execute(*level, *([] if found is None else [sitk.Resample(found, level[0])]))
    sitk.WriteImage(sitk.Cast(found, sitk.sitkVectorFloat32), str(field))


def _shrunk(image: Any, shrink: int) -> Any:
    import SimpleITK as sitk

    if shrink == 1:
        return image
    smooth = sitk.SmoothingRecursiveGaussian(image, [0.5 * shrink * spacing for spacing in image.GetSpacing()])
    return sitk.Shrink(smooth, [shrink] * 3)


def dipy_syn(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """DIPY's symmetric normalization, with the iterations of its ``dipy_align_syn`` command."""
    import nibabel
    from dipy.align.imwarp import SymmetricDiffeomorphicRegistration
    from dipy.align.metrics import CCMetric

    images = [nibabel.load(path) for path in (fixed, moving)]
    arrays = [image.get_fdata(dtype=np.float32) for image in images]
    # Its window must fit into the coarsest level.
    radius = min(4, (-(-min(arrays[0].shape) // 4) - 1) // 2)
    search = SymmetricDiffeomorphicRegistration(metric=CCMetric(3, radius=radius), level_iters=[10, 10, 5])
    found = search.optimize(*arrays, *(image.affine for image in images))
    _write_field(field, np.asarray(found.get_forward_field()), images[0].affine)


def convexadam(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """ConvexAdam with its MIND features."""
    import nibabel
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    images = [nibabel.load(path) for path in (fixed, moving)]
    arrays = [image.get_fdata(dtype=np.float32) for image in images]
    voxels = convex_adam_pt(*arrays, device=torch.device(device))
    _write_field(field, voxels @ images[0].affine[:3, :3].T, images[0].affine)


def fireants(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """FireANTs' greedy method, as its own script for OASIS calls it."""
    from fireants.io.image import BatchedImages, Image
    from fireants.registration.greedy import GreedyRegistration

    images = [BatchedImages([Image.load_file(str(path), device=device)]) for path in (fixed, moving)]
    search = GreedyRegistration(
        [4, 2, 1],
        [100, 100, 20],
        *images,
        cc_kernel_size=7,
        optimizer_lr=0.5,
        smooth_grad_sigma=1.0,
        smooth_warp_sigma=0.5,
        progress_bar=False,
    )
    search.optimize()
    search.save_as_ants_transforms(str(field))


def elastix(fixed: Path, moving: Path, field: Path, device: str) -> None:
    """elastix' B-splines with its default parameter map, whose grid of 10 mm is meant for voxels of 1 mm."""
    import itk

    images = [itk.imread(str(path), itk.F) for path in (fixed, moving)]
    parameters = itk.ParameterObject.New()
    grid = 10.0 * min(images[0].GetSpacing())
    parameters.AddParameterMap(parameters.GetDefaultParameterMap("bspline", 4, grid))
    with TemporaryDirectory() as folder:
        # It writes a file of its own beside the result, wherever it runs.
        _, found = itk.elastix_registration_method(*images, parameter_object=parameters, output_directory=folder)
        result = itk.transformix_deformation_field(images[1], found, output_directory=folder)
    itk.imwrite(result, str(field))


def _write_field(path: Path, field: np.ndarray, affine: np.ndarray) -> None:
    """Write a displacement field (x, y, z, 3) in mm, RAS, as ITK does."""
    import nibabel

    lps = np.array([-1, -1, 1], np.float32)
    image = nibabel.Nifti1Image((field.astype(np.float32) * lps)[:, :, :, None], affine)
    image.header.set_intent("vector")
    nibabel.save(image, path)


PEERS: dict[str, Peer] = {
    "greedy": Peer("picsl_greedy", "`-m NCC 2x2x2 -n 100x50x10`", greedy),
    "ANTs SyN": Peer("antspyx", "`SyNOnly` from the identity, else defaults (mutual information, 40x20x0)", ants_syn),
    "ANTs SyN-CC": Peer("antspyx", "`SyNOnly` from the identity, CC radius 2, 100x70x50x20", ants_syn_cc),
    "demons": Peer(
        "SimpleITK", "diffeomorphic, histograms matched, levels 4-2-1 with 100, 50, 20 iterations, sigma 1.5", demons
    ),
    "dipy SyN": Peer(
        "dipy", "`CCMetric(3)`, radius 4 or what a thin image allows, `level_iters=[10, 10, 5]`", dipy_syn
    ),
    "ConvexAdam": Peer("convexAdam", "`convex_adam_pt`, all defaults (MIND)", convexadam),
    "FireANTs": Peer(
        "fireants", "`GreedyRegistration`, CC of width 7, levels 4-2-1 with 100, 100, 20 iterations", fireants
    ),
    "elastix": Peer("itk-elastix", 'default parameter map "bspline", grid of 10 voxels', elastix),
}


def main() -> None:
    """Run one peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    for name in ("fixed", "moving", "field"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--device", default="cpu", help="of the peers that run on torch")
    arguments = parser.parse_args()
    PEERS[arguments.peer].register(arguments.fixed, arguments.moving, arguments.field, arguments.device)


if __name__ == "__main__":
    main()
