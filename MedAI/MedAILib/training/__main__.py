"""``python -m MedAILib.training CONFIG --data DIR --output RUN --export MODEL``: a model folder from a checkpoint."""

from __future__ import annotations

import argparse
import sys

from ..errors import MedAIError
from .job import export


def main() -> int:
    """Parse, export, and say where the model is."""
    parser = argparse.ArgumentParser(prog="python -m MedAILib.training", description=__doc__)
    parser.add_argument("config", metavar="CONFIG", help="a recipe file, or the name of a bundled recipe")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the recipe's label maps")
    parser.add_argument("--output", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--export", required=True, metavar="MODEL", help="model folder to write")
    parser.add_argument("--command", default="", metavar="TEXT", help="how the run was started, for the model's card")
    parser.add_argument("--measured", metavar="FILE", help="JSON list of the figures for the model's card")
    options = parser.parse_args()
    try:
        print(export(options.config, options.data, options.output, options.export, options.command, options.measured))
    except MedAIError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
