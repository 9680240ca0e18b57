"""``medai segment``: one file to one file, or many into a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..pipeline.request import MODES, Request
from .asking import may_replace
from .batch import tell_batch
from .result import add_options, shows_progress, tell_result
from .target import check_folder, is_one_file


def add(commands: Any) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "segment",
        help="segment a volume, or all volumes in a folder",
        description="Segment one volume into one file, or several volumes or whole folders into an output folder. "
        "A folder run goes on after a bad volume, skips what is done when called again, and writes report.csv, "
        "report.html and report.json.",
    )
    command.add_argument("inputs", metavar="IN", nargs="+", help="image file, DICOM folder, or folder with images")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", help=".seg.nrrd, .nrrd, .nii.gz, .nii or .mha file, or a folder"
    )
    command.add_argument("--model", metavar="NAME", help="a name from 'medai models list', or a model folder")
    command.add_argument(
        "--with", metavar="INPUT=FILE", action="append", default=[], dest="others",
        help="a further volume of the patient, for a model that sees several, e.g. T1=t1.nii.gz",
    )  # fmt: skip
    command.add_argument(
        "--as", metavar="INPUT", dest="input", help="which of the model's inputs IN is (default: the one that is left)"
    )
    command.add_argument("--stats", metavar="T.csv", help="write the volumes table (.csv or .tsv)")
    command.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps")
    command.add_argument(
        "--modality", metavar="M", help="modality of the volume (MR, CT, ...) if its file does not say"
    )
    command.add_argument("--force", action="store_true", help="go on although the modality does not fit the model")
    command.add_argument("--mode", choices=MODES, help="exact or fast; the default is what the model's card allows")
    command.add_argument("--format", metavar="F", help="of the results in an output folder (default seg.nrrd)")
    command.add_argument(
        "--overwrite", action="store_true", help="replace existing files; do all cases of a folder again"
    )
    add_options(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    request = Request(options.model, options.modality, options.force, options.mode, options.input)
    act = _one if is_one_file(options) else _many
    return act(options, request, Path(options.output), shows_progress(options))


def _one(options: argparse.Namespace, request: Request, output: Path, show: bool) -> int:
    from ..api import segment_file
    from ..progress_line import ProgressLine

    if len(options.inputs) > 1:
        raise UsageError(f"{len(options.inputs)} inputs need an output folder, not the file {output}.")
    overwrite = options.overwrite or may_replace((output, options.stats), options)
    with ProgressLine(show) as line:
        result = segment_file(
            options.inputs[0], request, output, options.stats, options.device, overwrite, line.event, _others(options)
        )
    named = {"output": str(output), "statistics": options.stats}
    return tell_result(result.summary, (output, options.stats), named, options)


def _others(options: argparse.Namespace) -> dict[str, str]:
    found = {}
    for given in options.others:
        name, equals, file = given.partition("=")
        if not (name and equals and file):
            raise UsageError(f"--with {given}: write it as INPUT=FILE, e.g. T1=t1.nii.gz.")
        if name in found:
            raise UsageError(f"--with {given}: {name} was given already.")
        found[name] = file
    return found


def _many(options: argparse.Namespace, request: Request, folder: Path, show: bool) -> int:
    from ..batch import BatchOptions, run, watch_on_console
    from ..files.formats import WRITABLE

    if options.others:
        raise UsageError("--with is for one patient; give one input and an output file.")
    check_folder(folder, options.inputs, WRITABLE)
    settings = BatchOptions(options.device, options.format or "seg.nrrd", options.overwrite, options.stats)
    result = run(options.inputs, folder, request, settings, watch_on_console(show))
    return tell_batch(result, "segmented", options)
