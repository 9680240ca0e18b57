"""One import for everything: the folder says what it is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..models import ModelCard, ModelStore
from ..models.card import CARD_NAME

if TYPE_CHECKING:
    from .foreign import ForeignModel

MEDAI, NNUNET, MONAI = "MedAI", "nnU-Net", "MONAI"
_BUNDLE = ("configs/metadata.json", "configs/inference.json", "models/model.ts", "models/model.pt")


@dataclass(frozen=True)
class Import:
    """What an import is to do; what a folder does not say by itself.

    Attributes:
        name: of the model here; None makes one from the folder.
        modality: DICOM code; None takes what the folder says.
        folds: nnU-Net's trained networks that are to vote, e.g. ("0", "1"); () for all that there are.
        checkpoint: which of nnU-Net's files of a fold, "final" or "best".
        mirror: look at everything mirrored too, as nnU-Net does by default: up to eight times the time.
        allow_code: TorchScript, which is code, may be brought in and run.
        overwrite: replace a model of that name imported earlier.
    """

    name: str | None = None
    modality: str | None = None
    folds: tuple[str, ...] = ()
    checkpoint: str = "final"
    mirror: bool = False
    allow_code: bool = False
    overwrite: bool = False


def kind_of(folder: Path) -> str:
    """Whose model a folder holds: "MedAI", "nnU-Net" or "MONAI".

    Raises:
        ModelError: no one's, or there is no such folder.
    """
    if not folder.is_dir():
        more = " Unpack it, and import the folder." if folder.suffix == ".zip" and folder.is_file() else ""
        raise ModelError(f"{folder}: is no folder.{more}")
    if (folder / CARD_NAME).is_file():
        return MEDAI
    if any(place.is_file() for place in (folder / "plans.json", folder.parent / "plans.json")):
        return NNUNET
    if any((folder / part).is_file() for part in _BUNDLE):
        return MONAI
    if any(folder.glob("*/plans.json")):
        return NNUNET
    raise ModelError(
        f"{folder}: holds no model that MedAI knows: neither its own ({CARD_NAME}), nor a result folder of nnU-Net v2 "
        "(plans.json beside fold_0), nor a MONAI bundle (configs/metadata.json). Choose the model's own folder."
    )


def import_any(folder: str | Path, wanted: Import = Import()) -> ModelCard:
    """Check a model folder of any known kind, convert it if need be, and put it into the user's model folder.

    Args:
        folder: of MedAI, nnU-Net v2 or MONAI.
        wanted: what to do with it.

    Returns:
        The card of the model that is there now.

    Raises:
        ModelError: the folder holds no model, or one that cannot be converted; the message says why.
        OutputExistsError: the user has a model of that name already.
        WriteError: the user's folder cannot be written.
    """
    folder = Path(folder).expanduser()
    kind = kind_of(folder)
    store = ModelStore()
    if kind == MEDAI:
        return store.add(folder, wanted.overwrite, allow_code=wanted.allow_code)
    foreign = _reader(kind)(folder, wanted)
    with tempfile.TemporaryDirectory(prefix="medai-import-") as scratch:
        written = foreign.write(Path(scratch))
        return store.add(written, wanted.overwrite, allow_code=wanted.allow_code)


def _reader(kind: str) -> Callable[[Path, Import], ForeignModel]:
    if kind == NNUNET:
        from .nnunet import read_nnunet

        return read_nnunet
    from .monai import read_monai

    return read_monai
