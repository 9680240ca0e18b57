"""``make demo``: segment a real brain MR, say where the results are, draw them.

The volume is the ICBM 2009a nonlinear symmetric T1 average at 1 mm (Fonov et al. 2011), which nilearn ships inside its
wheel; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from skimage.io import imsave

import MedAILib
from MedAILib.errors import MedAIError, ReadError, WriteError
from MedAILib.files import read_image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import system_libraries  # noqa: E402  (both are files beside this one)
from planes import three_planes  # noqa: E402

INSIDE_NILEARN = Path("datasets", "data", "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")


def sample() -> Path:
    """The T1 volume inside the installed nilearn; nilearn itself is not imported.

    Raises:
        ReadError: nilearn is not installed or no longer ships the volume.
    """
    found = importlib.util.find_spec("nilearn")
    if found is None or found.origin is None:
        raise ReadError("nilearn, whose wheel holds the demo's brain MR, is not installed: pip install 'medai[demo]'.")
    path = Path(found.origin).parent / INSIDE_NILEARN
    if not path.is_file():
        raise ReadError(f"This version of nilearn has no {INSIDE_NILEARN}; install the one that constraints.txt names.")
    return path


def make_folder(path: Path) -> None:
    """Make the folder of the results if it is not there.

    Raises:
        WriteError: that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"The folder {path} cannot be made: {reason}. Choose another one with --output.") from error


def draw_surfaces(segmentation: Path, picture: Path) -> str:
    """Draw the 3D picture in a process of its own; returns what went wrong, or an empty text."""
    picture.unlink(missing_ok=True)
    environment = dict(os.environ)
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    command = [sys.executable, str(HERE / "surfaces.py"), str(segmentation), str(picture)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0 and picture.is_file():
        return ""
    if done.returncode < 0:
        return (
            "OpenGL cannot draw on this computer. On Debian and Ubuntu "
            f"`apt install {system_libraries.SOFTWARE_RENDERER}` brings what works without display and graphics card."
        )
    return (done.stderr.strip().splitlines() or ["the process that draws it failed"])[-1]


def main() -> int:
    """Run the demo; the exit status is that of the ``medai`` command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder of the results (made if missing)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    options = parser.parse_args()
    segmentation, volumes, overlay, scene = (
        options.output / name for name in ("brain.seg.nrrd", "volumes.csv", "overlay.png", "brain3d.png")
    )
    try:
        make_folder(options.output)
        source = sample()
        print(f"Segmenting {source.name} (ICBM 2009a T1, 1 mm), which nilearn brings along.", flush=True)
        result = MedAILib.segment(
            source, output=segmentation, statistics=volumes, device=options.device, overwrite=True
        )
    except MedAIError as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return error.exit_status
    imsave(overlay, three_planes(read_image(source), result.labels, result.summary.table), check_contrast=False)
    trouble = draw_surfaces(segmentation, scene)
    print(f"\n{result.summary.text()}\n")
    print(f"Segmentation   {segmentation}   (opens in 3D Slicer, with names, colors and codes)")
    print(f"Volumes        {volumes}")
    print(f"Three planes   {overlay}")
    print(f"3D picture     {'not drawn: ' + trouble if trouble else scene}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
