"""Where models lie: the bundled ones beside this file, and the user's own folder."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ModelError, OutputExistsError, WriteError
from .card import CARD_NAME, ModelCard, read_card
from .weights import check_weights, load_network

BUNDLED = Path(__file__).parent / "bundled"
DEFAULT_MODEL = "brain-mr"


def user_folder() -> Path:
    """The user's model folder: ``MEDAI_MODELS`` if set, else ``~/.medai/models``. It may not exist yet."""
    chosen = os.environ.get("MEDAI_MODELS")
    return Path(chosen).expanduser() if chosen else Path.home() / ".medai" / "models"


@dataclass(frozen=True)
class ModelStore:
    """The folders in which models are looked for, earlier ones first.

    Attributes:
        bundled: models that came with MedAI; never written to.
        user: models that the user imported.
    """

    bundled: Path = BUNDLED
    user: Path = field(default_factory=user_folder)

    def scan(self) -> tuple[list[ModelCard], list[ModelError]]:
        """The cards of all models, and why the folders that cannot be used cannot."""
        cards: list[ModelCard] = []
        broken: list[ModelError] = []
        try:
            for folder in self._folders():
                try:
                    cards.append(_named_card(folder))
                except ModelError as error:
                    broken.append(error)
        except ModelError as error:  # a folder of models that cannot be listed
            broken.append(error)
        return cards, broken

    def find(self, name: str) -> ModelCard:
        """The model of that name, or the one in that folder if ``name`` is a path to a model folder.

        Raises:
            ModelError: unknown, or its card cannot be used; the message says which models there are.
        """
        if not name or os.sep in name or "/" in name or (Path(name) / CARD_NAME).is_file():
            return read_card(Path(name).expanduser())
        for folder in self._folders():
            if folder.name == name:
                return _named_card(folder)
        names = [folder.name for folder in self._folders()]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names) or 'none'}."
        raise ModelError(f"There is no model named {name!r}. {hint} 'medai models list' shows them.")

    def is_bundled(self, card: ModelCard) -> bool:
        return card.folder.parent == self.bundled

    def add(
        self, folder: str | Path, overwrite: bool = False, full: bool = True, allow_code: bool = False
    ) -> ModelCard:
        """Check a model folder and copy it into the user's folder; a half-copied model never has the final name.

        Args:
            folder: holds model.json and the weights; other files are not copied.
            overwrite: replace a model of that name that the user imported earlier.
            full: also build the network and load the weights into it (imports torch).
            allow_code: the weights may be TorchScript, which is code.

        Raises:
            ModelError: the model cannot be used, or its name is taken by a bundled model.
            OutputExistsError: the user has a model of that name already.
            WriteError: the user's folder cannot be written.
        """
        card = read_card(folder)
        verify(card, full, allow_code)
        if (self.bundled / card.name).exists():
            raise ModelError(
                f"{card.path}: a bundled model is named {card.name!r} already. Change the name in the card."
            )
        target = self.user / card.name
        if target.exists() and not overwrite:
            raise OutputExistsError(f"{target}: you have a model of this name already. Use --overwrite to replace it.")
        try:
            self.user.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.user, prefix=".import-") as scratch:
                fresh = Path(scratch) / card.name
                fresh.mkdir()
                for name in (CARD_NAME, card.weights_file):
                    shutil.copyfile(card.folder / name, fresh / name)
                verify(read_card(fresh), allow_code=allow_code)
                _exchange(fresh, target, Path(scratch) / "replaced")
        except OSError as error:
            raise WriteError(f"{self.user}: the model cannot be copied here ({error.strerror or error}).") from error
        return read_card(target)

    def _folders(self) -> Iterator[Path]:
        for root in (self.bundled, self.user):
            try:
                found = sorted(root.iterdir()) if root.is_dir() else []
            except OSError as error:
                raise ModelError(f"{root}: the model folder cannot be listed ({error.strerror or error}).") from error
            yield from (path for path in found if path.is_dir() and not path.name.startswith((".", "_")))


def _exchange(fresh: Path, target: Path, aside: Path) -> None:
    """Put a folder in the place of one that may be there, which comes back if that fails."""
    if not target.exists():
        fresh.rename(target)
        return
    target.rename(aside)
    try:
        fresh.rename(target)
    except OSError:
        aside.rename(target)
        raise


def _named_card(folder: Path) -> ModelCard:
    card = read_card(folder)
    if card.name != folder.name:
        raise ModelError(f"{card.path}: the card names the model {card.name!r}, but its folder is {folder.name!r}.")
    return card


def verify(card: ModelCard, full: bool = False, allow_code: bool = False) -> None:
    """Check a model's weights: their kind and checksum, and if ``full`` also that they fit the network (needs torch).

    Raises:
        ModelError: the reason why the model cannot be used.
    """
    check_weights(card, allow_code)
    if full:
        load_network(card, allow_code=allow_code)
    elif not card.trained:
        raise ModelError(f"{card.path}: this model is not trained (trained: false) and gives no usable result.")


def list_models() -> list[ModelCard]:
    """All usable models, bundled ones first. Broken folders are left out; :meth:`ModelStore.scan` names them."""
    return ModelStore().scan()[0]


def find_model(name: str | None = None) -> ModelCard:
    """The model of that name or in that folder; without a name the default one. See :meth:`ModelStore.find`."""
    return ModelStore().find(name or DEFAULT_MODEL)


def import_model(folder: str | Path, overwrite: bool = False, full: bool = True) -> ModelCard:
    """Check a model folder and copy it into the user's folder. See :meth:`ModelStore.add`."""
    return ModelStore().add(folder, overwrite, full)
