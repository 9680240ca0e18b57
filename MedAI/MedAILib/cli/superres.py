"""``medai superres``: one scan to one volume, or many into a folder."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..superres.methods import METHODS
from ..superres.request import AXES, PROFILE_CHOICES, QUALITIES, ROLES, SuperresRequest
from .asking import may_replace
from .batch import tell_batch
from .result import add_options, shows_progress, tell_result
from .target import check_folder, is_one_file

_OF_ONE_SCAN = ("second", "like", "uncertainty", "residual")


def add(commands: Any) -> None:
    """Add the subcommand."""
    methods = "; ".join(f"{method.name}: {method.card}" for method in METHODS.values())
    command = commands.add_parser(
        "superres",
        help="compute a volume with thin slices from one with thick slices, or do so with all in a folder",
        description="Compute a volume with thin slices from one with thick slices. Several volumes, or whole folders, "
        "go into an output folder; such a run goes on after a bad volume, skips what is done when called again, and "
        "writes report.csv, report.html and report.json. The result is a computed image, not for primary diagnosis.",
        epilog=f"methods: {methods}",
    )
    command.add_argument("inputs", metavar="IN", nargs="+", help="image file, DICOM folder, or folder with images")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", help=".nii.gz, .nii, .nrrd or .mha file, or a folder"
    )
    _add_scan(command)
    _add_result(command)
    _add_method(command)
    command.add_argument("--format", metavar="F", help="of the results in an output folder (default nii.gz)")
    command.add_argument(
        "--overwrite", action="store_true", help="replace existing files; do all cases of a folder again"
    )
    add_options(command)
    command.set_defaults(run=run)


def _add_scan(command: argparse.ArgumentParser) -> None:
    scan = command.add_argument_group("scan")
    scan.add_argument(
        "--thickness", type=float, metavar="MM", help="of the slices; by default from DICOM, else estimated"
    )
    scan.add_argument("--profile", choices=PROFILE_CHOICES, default="auto", help="of the slices")
    scan.add_argument("--axis", choices=AXES, default="auto", help="voxel axis that the slices follow each other along")
    scan.add_argument("--modality", metavar="M", help="modality of the scan (MR, CT, ...) if its file does not say")
    scan.add_argument("--second", nargs="+", metavar="IN2", help="stacks in other directions, or a second contrast")
    scan.add_argument("--role", choices=ROLES, default="auto", help="what the second scans are")
    scan.add_argument("--align", action="store_true", help="register the second scans to the first before")


def _add_result(command: argparse.ArgumentParser) -> None:
    result = command.add_argument_group("result")
    spacing = result.add_mutually_exclusive_group()
    spacing.add_argument("--spacing", type=float, metavar="MM", help="of the new slices (default: the in-plane one)")
    spacing.add_argument("--like", metavar="IMAGE", help="an image whose grid the result is to have")
    result.add_argument("--isotropic", action="store_true", help="the same spacing along all three axes")
    result.add_argument("--uncertainty", metavar="U", help="map of half the width of the 90 %% interval")
    result.add_argument("--residual", metavar="R", help="map of what of the measured slices is not explained")


def _add_method(command: argparse.ArgumentParser) -> None:
    method = command.add_argument_group("method")
    method.add_argument("--method", choices=tuple(METHODS), default="auto", help="see below")
    time = method.add_mutually_exclusive_group()
    time.add_argument("--quality", choices=QUALITIES, default="fast", help="how long training on the scan may take")
    time.add_argument("--budget", type=float, metavar="SECONDS", help="the same in seconds")
    method.add_argument("--consistent", choices=("auto", "yes", "no"), default="auto", help="reproduce the slices")
    method.add_argument("--cold", action="store_true", help="do not start from the weights that MedAI brings")
    method.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random")
    method.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps")


def run(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    request = SuperresRequest(
        options.method,
        options.quality,
        options.budget,
        options.thickness,
        options.profile,
        options.spacing,
        options.isotropic,
        options.axis,
        options.modality,
        options.role,
        options.align,
        {"auto": None, "yes": True, "no": False}[options.consistent],
        not options.cold,
        options.seed,
    )
    if METHODS[request.method].instant:
        # The worker inherits it: a closed form is done before further threads would pay.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    act = _one if is_one_file(options) else _many
    return act(options, request, Path(options.output), shows_progress(options))


def _one(options: argparse.Namespace, request: SuperresRequest, output: Path, show: bool) -> int:
    from ..api import superresolve_files
    from ..progress_line import ProgressLine
    from ..scans import ScanSources, ScanTargets

    if len(options.inputs) > 1:
        raise UsageError(
            f"{len(options.inputs)} inputs need an output folder, not the file {output}. Further stacks or contrasts "
            "of the same patient are given with --second."
        )
    targets = ScanTargets(output, options.uncertainty, options.residual)
    overwrite = options.overwrite or may_replace(targets.all, options)
    sources = ScanSources(options.inputs[0], tuple(options.second or ()), options.like)
    with ProgressLine(show) as line:
        result = superresolve_files(sources, request, targets, options.device, overwrite, line.event)
    return tell_result(result.summary, targets.all, {"outputs": [str(path) for path in targets.all]}, options)


def _many(options: argparse.Namespace, request: SuperresRequest, folder: Path, show: bool) -> int:
    from ..batch import VolumeOptions, superresolve_all, watch_on_console
    from ..batch.superresolving import FORMATS

    unfit = [name for name in _OF_ONE_SCAN if getattr(options, name)]
    if unfit:
        raise UsageError(f"--{unfit[0]} is for one scan; name an output file, not a folder.")
    check_folder(folder, options.inputs, FORMATS)
    settings = VolumeOptions(options.device, options.format or FORMATS[0], options.overwrite)
    result = superresolve_all(options.inputs, folder, request, settings, watch_on_console(show))
    return tell_batch(result, "sharpened", options)
