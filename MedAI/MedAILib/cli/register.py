"""``medai register``: one pair, or the pairs of a table into a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..pairs import PairSources, PairTargets
from ..registration.request import CONTRASTS, KINDS, PRESETS, REGULARIZATIONS, STARTS, RegistrationRequest
from .asking import may_replace
from .batch import tell_batch
from .result import add_options, shows_progress, tell_result

_OF_ONE_PAIR = (
    "fixed",
    "moving",
    "fixed_mask",
    "moving_mask",
    "fixed_labels",
    "moving_labels",
    "landmarks",
    "initial",
    "transform",
    "inverse",
    "warped_labels",
    "jacobian",
)


def add(commands: Any) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "register",
        help="bring one volume onto another, or do so with all pairs of a table",
        description="Bring the moving image onto the fixed one. The transform maps fixed points to moving points, as "
        "ITK, ANTs and Slicer take it to resample the moving image. With --pairs, each line of a CSV table is a pair; "
        "the run goes on after a bad pair, skips what is done when called again, and writes report.csv, report.html "
        "and report.json.",
    )
    _add_inputs(command)
    _add_results(command)
    method = command.add_argument_group("method")
    method.add_argument("--preset", choices=PRESETS, default="default", help="how much time to take")
    method.add_argument("--kind", choices=KINDS, default="deformable", help="how the image may change")
    method.add_argument(
        "--contrast", choices=CONTRASTS, default="auto", help="different for two sequences or modalities"
    )
    method.add_argument(
        "--start",
        choices=STARTS,
        default="auto",
        help="given: begin where --initial or else the headers put the images, and look only nearby",
    )
    method.add_argument(
        "--regularization", choices=REGULARIZATIONS, default="diffusion", help="what keeps the deformation smooth"
    )
    method.add_argument(
        "--diffeomorphic", action="store_true", help="deform by a velocity field, invertible by construction (slower)"
    )
    method.add_argument("--refine", action="store_true", help="optimize a network on this pair afterwards")
    method.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps")
    command.add_argument(
        "--overwrite", action="store_true", help="replace existing files; do all pairs of a table again"
    )
    add_options(command)
    command.set_defaults(run=run)


def _add_inputs(command: argparse.ArgumentParser) -> None:
    inputs = command.add_argument_group("inputs")
    inputs.add_argument("--fixed", metavar="F", help="image that stays: file or DICOM folder")
    inputs.add_argument("--moving", metavar="M", help="image that is brought onto it")
    inputs.add_argument("--fixed-mask", metavar="K", help="label map; only what it marks is compared")
    inputs.add_argument("--moving-mask", metavar="K", help="the same for the moving image")
    inputs.add_argument("--fixed-labels", metavar="L", help="label map, to measure Dice and HD95 with")
    inputs.add_argument("--moving-labels", metavar="L", help="label map or segmentation of the moving image")
    inputs.add_argument(
        "--landmarks", nargs=2, metavar=("F", "M"), help="corresponding points: .mrk.json, .fcsv or .csv (RAS mm)"
    )
    inputs.add_argument("--initial", metavar="T", help="transform file to begin with")
    inputs.add_argument(
        "--pairs",
        metavar="CSV",
        help="table of pairs, with the columns fixed and moving; others: fixed_mask, moving_mask, fixed_labels, "
        "moving_labels, fixed_landmarks, moving_landmarks, initial, name",
    )


def _add_results(command: argparse.ArgumentParser) -> None:
    results = command.add_argument_group("results")
    results.add_argument(
        "-o", "--output", metavar="OUT", help="moving image on the fixed grid; with --pairs the output folder"
    )
    results.add_argument(
        "--transform",
        metavar="T",
        help=".h5 (.tfm, .txt if linear), or .nii.gz, .nii, .nrrd, .mha for a displacement image",
    )
    results.add_argument("--inverse", metavar="T", help="the transform from moving to fixed points")
    results.add_argument("--warped-labels", metavar="WL", help="moving labels on the fixed grid")
    results.add_argument("--jacobian", metavar="J", help="map of the local change of volume")


def run(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    request = RegistrationRequest(
        options.kind,
        options.preset,
        options.contrast,
        options.start,
        options.refine,
        regularization=options.regularization,
        diffeomorphic=options.diffeomorphic,
    )
    act = _one if options.pairs is None else _many
    return act(options, request, shows_progress(options))


def _one(options: argparse.Namespace, request: RegistrationRequest, show: bool) -> int:
    from ..api import register_files
    from ..progress_line import ProgressLine

    if not options.fixed or not options.moving:
        raise UsageError("--fixed and --moving are needed, or --pairs with a table. 'medai register --help' shows how.")
    fixed_points, moving_points = options.landmarks or (None, None)
    sources = PairSources(
        options.fixed,
        options.moving,
        options.fixed_mask,
        options.moving_mask,
        options.fixed_labels,
        options.moving_labels,
        fixed_points,
        moving_points,
        options.initial,
    )
    targets = PairTargets(options.output, options.transform, options.inverse, options.warped_labels, options.jacobian)
    if not targets.all:
        raise UsageError("No result was asked for. Name at least one with -o, --transform, --inverse or --jacobian.")
    overwrite = options.overwrite or may_replace(targets.all, options)
    with ProgressLine(show) as line:
        result = register_files(sources, request, targets, options.device, overwrite, line.event)
    return tell_result(result.summary, targets.all, {"outputs": [str(path) for path in targets.all]}, options)


def _many(options: argparse.Namespace, request: RegistrationRequest, show: bool) -> int:
    from ..batch import PairOptions, run_pairs, watch_on_console
    from ..files.writing import is_there

    unfit = [name for name in _OF_ONE_PAIR if getattr(options, name)]
    if unfit:
        raise UsageError(f"--{unfit[0].replace('_', '-')} is for one pair; with --pairs the table says it for each.")
    if not options.output:
        raise UsageError("--pairs needs an output folder: -o FOLDER.")
    folder = Path(options.output)
    if is_there(folder) and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; --pairs needs an output folder.")
    settings = PairOptions(options.device, options.overwrite)
    result = run_pairs(options.pairs, folder, request, settings, watch_on_console(show))
    return tell_batch(result, "registered", options)
