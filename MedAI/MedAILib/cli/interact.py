"""``medai interact``: a prompt file replayed on a volume."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..interactive.request import ENGINES, Engine
from .asking import may_replace
from .result import add_options, shows_progress, tell_result


def add(commands: Any) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "interact",
        help="segment what points, strokes, boxes and lassos in a file mark",
        description="Replay what was drawn on a volume. The prompt file is JSON: "
        '{"coordinates": "RAS", "prompts": [{"kind": "stroke", "points": [[x, y, z], ...], "positive": true, '
        '"label": 1, "radius": 2}]}; kinds are point, stroke, box and lasso, all lengths are millimeters.',
    )
    command.add_argument("input", metavar="IN", help="image file or DICOM folder")
    command.add_argument("--prompts", required=True, metavar="P.json", help="what was drawn, in its order")
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT", help=".seg.nrrd, .nrrd, .nii.gz, .nii or .mha file"
    )
    command.add_argument("--labels", metavar="START", help="segmentation or label map to begin with, on the same grid")
    command.add_argument("--engine", choices=ENGINES, default="auto", help="who answers (default auto)")
    command.add_argument("--model", metavar="FOLDER", help="folder of a trained network of your own")
    command.add_argument("--overwrite-labels", action="store_true", help="a prompt may take voxels of other labels")
    command.add_argument(
        "--refine", type=float, default=0.0, metavar="MM", help="move boundaries to edges in the end, by at most MM"
    )
    command.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps")
    command.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_options(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    from ..interactive.opening import interact_file
    from ..progress_line import ProgressLine

    output = Path(options.output)
    overwrite = options.overwrite or may_replace((output,), options)
    engine = Engine(options.engine, options.model)
    with ProgressLine(shows_progress(options)) as line:
        summary = interact_file(
            options.input,
            options.prompts,
            output,
            options.labels,
            engine,
            options.refine,
            options.device,
            overwrite,
            line.event,
            options.overwrite_labels,
        )
    return tell_result(summary, (output,), {"output": str(output)}, options)
