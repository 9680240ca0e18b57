"""``medai import``: a model folder of any known kind, converted if need be; ``medai models import`` is the same."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import CodeError
from ..importing import Import, import_any
from ..models import ModelCard

DESCRIPTION = (
    "Bring a model in: a model folder of MedAI, a result folder of nnU-Net v2 (plans.json beside fold_0), or a MONAI "
    "bundle (configs/metadata.json). Networks are built anew and only their weights are taken; nothing of the "
    "folder is run, unless it is TorchScript and you allow it."
)


def add(commands: Any) -> None:
    """Add the subcommand."""
    add_arguments(
        commands.add_parser("import", help="bring in a model of MedAI, nnU-Net or MONAI", description=DESCRIPTION)
    )


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments, for this subcommand and for ``medai models import``."""
    command.add_argument("folder", metavar="FOLDER", help="the model's folder")
    command.add_argument("--overwrite", action="store_true", help="replace a model of that name imported earlier")
    command.add_argument("--json", action="store_true", help="print JSON")
    foreign = command.add_argument_group("for models of nnU-Net and MONAI")
    foreign.add_argument("--name", metavar="NAME", help="of the model here (default: from the folder)")
    foreign.add_argument("--modality", metavar="M", help="of its images (CT, MR, ...) if the folder does not say")
    foreign.add_argument(
        "--allow-code", action="store_true", help="let TorchScript in, which is code; only if you trust it"
    )
    foreign.add_argument("--folds", nargs="+", metavar="F", help="nnU-Net: these folds vote (default: all)")
    foreign.add_argument(
        "--checkpoint", choices=("final", "best"), default="final", help="nnU-Net: which file of a fold"
    )
    foreign.add_argument(
        "--mirror",
        action="store_true",
        help="nnU-Net: mirrored images vote too, as by its default; up to 8 times as long",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; raises MedAIError."""
    wanted = Import(
        options.name,
        options.modality,
        tuple(options.folds or ()),
        options.checkpoint,
        options.mirror,
        options.allow_code,
        options.overwrite,
    )
    try:
        card = import_any(options.folder, wanted)
    except CodeError as error:
        raise CodeError(f"{error} In the shell that is --allow-code.") from error
    print(json.dumps(short(card)) if options.json else f"{card.name} {card.version} is now in {card.folder}.")
    return 0


def short(card: ModelCard) -> dict[str, Any]:
    """What is told of a model in JSON."""
    return {
        "name": card.name,
        "version": card.version,
        "title": card.title,
        "modality": list(card.modality),
        "sha256": card.sha256,
        "folder": str(card.folder),
    }
