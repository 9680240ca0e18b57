"""``medai bridge``, ``medai straighten`` and ``medai unstraighten``: thin tubular structures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..tubes.reformation import FIELD, KINDS, SPACING, STEP
from ..tubes.request import LIMIT
from .asking import may_replace
from .result import add_options, shows_progress, tell_result

_MASK = ".seg.nrrd, .nrrd, .nii.gz, .nii or .mha file"


def add(commands: Any) -> None:
    """Add the subcommands."""
    _add_bridge(commands)
    _add_straighten(commands)
    _add_unstraighten(commands)


def _add_bridge(commands: Any) -> None:
    command = commands.add_parser(
        "bridge",
        help="close the gaps of a broken tubular mask (a vessel, a duct, a nerve)",
        description="Join the parts of a tubular mask to one, along ways of least cost. With --image the ways prefer "
        "what looks like the tube; without one they go on as the parts end.",
    )
    command.add_argument("mask", metavar="MASK", help="segmentation or label map")
    command.add_argument("--image", metavar="IMAGE", help="image file or DICOM folder on the mask's grid")
    command.add_argument("-o", "--output", required=True, metavar="OUT", help=_MASK)
    _add_tube(command)
    command.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_options(command)
    command.set_defaults(run=run_bridge)


def _add_straighten(commands: Any) -> None:
    command = commands.add_parser(
        "straighten",
        help="lay an image out along a tube (curved planar reformation)",
        description="Lay an image out along the tube that a mask marks; gaps of the mask are bridged first. The result "
        "is a volume of its own; --planes keeps where its voxels were, for 'medai unstraighten'.",
    )
    command.add_argument("image", metavar="IMAGE", help="image file or DICOM folder")
    command.add_argument("--mask", required=True, metavar="MASK", help="segmentation or label map of the tube")
    command.add_argument("-o", "--output", required=True, metavar="OUT", help=".nii.gz, .nii, .nrrd or .mha file")
    command.add_argument("--planes", metavar="P.json", help="write where the planes lie")
    command.add_argument("--labels", metavar="L", help="write the mask laid out likewise")
    _add_tube(command)
    command.add_argument("--kind", choices=KINDS, default=KINDS[0], help="straightened loses no length (see README)")
    command.add_argument("--field", type=float, default=FIELD, metavar="MM", help=f"side of the planes ({FIELD:g})")
    command.add_argument("--spacing", type=float, default=SPACING, metavar="MM", help=f"within them ({SPACING:g})")
    command.add_argument("--step", type=float, default=STEP, metavar="MM", help=f"between them ({STEP:g})")
    command.add_argument("--line", type=float, nargs=3, metavar=("R", "A", "S"), help="line of interest")
    command.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_options(command)
    command.set_defaults(run=run_straighten)


def _add_unstraighten(commands: Any) -> None:
    command = commands.add_parser(
        "unstraighten",
        help="bring labels drawn on a straightened volume back to its image",
        description="Bring labels that were drawn on the result of 'medai straighten' back to the image that it was "
        "made from.",
    )
    command.add_argument("labels", metavar="LABELS", help="segmentation or label map on the straightened volume")
    command.add_argument("--planes", required=True, metavar="P.json", help="what 'medai straighten --planes' wrote")
    command.add_argument("-o", "--output", required=True, metavar="OUT", help=_MASK)
    command.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_options(command)
    command.set_defaults(run=run_unstraighten)


def _add_tube(command: argparse.ArgumentParser) -> None:
    command.add_argument("--label", type=int, metavar="N", help="the tube's value, if the mask holds several")
    command.add_argument(
        "--gap", type=float, default=LIMIT, metavar="MM", help=f"longest gap that is bridged (default {LIMIT:g})"
    )
    command.add_argument("--centerline", metavar="C", help="write the centerline (.mrk.json, .fcsv or .csv)")


def run_bridge(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    from ..api import bridge

    written = (options.output, options.centerline)
    result = bridge(
        options.mask,
        options.image,
        options.output,
        options.centerline,
        options.label,
        options.gap,
        options.overwrite or may_replace(written, options),
        shows_progress(options),
    )
    return tell_result(result.summary, written, _named(written), options)


def run_straighten(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    from ..api import straighten

    written = (options.output, options.planes, options.labels, options.centerline)
    result = straighten(
        options.image,
        options.mask,
        *written,
        options.kind,
        options.field,
        options.spacing,
        options.step,
        tuple(options.line) if options.line else None,
        options.label,
        options.gap,
        options.overwrite or may_replace(written, options),
        shows_progress(options),
    )
    return tell_result(result.summary, written, _named(written), options)


def run_unstraighten(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    from ..api import unstraighten

    written = (options.output,)
    overwrite = options.overwrite or may_replace(written, options)
    result = unstraighten(options.labels, Path(options.planes), options.output, overwrite, shows_progress(options))
    return tell_result(result.summary, written, _named(written), options)


def _named(written: tuple[str | None, ...]) -> dict[str, list[str]]:
    return {"outputs": [path for path in written if path]}
