"""Finding, listing and importing models."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import MedAILib
from MedAILib.cli.main import main
from MedAILib.errors import ModelError, OutputExistsError, WriteError
from MedAILib.models import ModelStore, find_model, import_model, read_card
from permissions import needs_permissions
from tiny_model import write_model


def test_an_imported_model_is_found_by_name_and_has_the_same_weights(tiny: Path, user_models: Path) -> None:
    card = import_model(tiny)
    assert card.folder == user_models / "tiny"
    assert find_model("tiny").sha256 == read_card(tiny).sha256
    assert sorted(path.name for path in card.folder.iterdir()) == ["model.json", "weights.safetensors"]


def test_only_card_and_weights_are_copied(tiny: Path, user_models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "tiny"))
    (folder / "run_me.py").write_text("raise SystemExit")
    assert not (import_model(folder).folder / "run_me.py").exists()


def test_a_bad_model_is_not_imported_and_leaves_nothing(tiny: Path, user_models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "tiny"))
    (folder / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError):
        import_model(folder)
    assert not user_models.exists()


def test_an_import_over_a_model_needs_permission(tiny: Path, user_models: Path) -> None:
    import_model(tiny)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        import_model(tiny)
    import_model(tiny, overwrite=True)
    assert [path.name for path in user_models.iterdir()] == ["tiny"]


def test_an_exchange_that_fails_half_way_keeps_the_older_model(
    tiny: Path, user_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_model(tiny)
    rename = Path.rename

    def refuse_fresh(self: Path, target: Path) -> Path:
        if self.name == "tiny" and self.parent.name.startswith(".import-"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_fresh)
    with pytest.raises(WriteError, match="cannot be copied here"):
        import_model(tiny, overwrite=True)
    assert [path.name for path in user_models.iterdir()] == ["tiny"]
    assert find_model("tiny").version == "1.0"


def test_a_model_folder_that_cannot_be_listed_is_named_and_hides_no_bundled_model(
    user_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_models.mkdir()
    listed = Path.iterdir

    def refuse(self: Path) -> Iterator[Path]:
        if self == user_models:
            raise PermissionError(13, "Permission denied")
        return listed(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        cards, broken = ModelStore().scan()
    assert "the model folder cannot be listed (Permission denied)" in str(broken[0])
    assert "brain-mr" in [card.name for card in cards]


def test_a_bundled_name_cannot_be_taken(tiny: Path, tmp_path: Path) -> None:
    store = ModelStore(bundled=tiny.parent, user=tmp_path / "user")
    with pytest.raises(ModelError, match="bundled model is named 'tiny' already"):
        store.add(tiny)


@needs_permissions
def test_a_read_only_model_folder_is_a_write_error(tiny: Path, user_models: Path) -> None:
    user_models.mkdir()
    user_models.chmod(0o500)
    with pytest.raises(WriteError):
        import_model(tiny)


def test_a_model_folder_that_is_a_file_is_a_write_error(tiny: Path, user_models: Path) -> None:
    user_models.write_text("")
    with pytest.raises(WriteError, match="cannot be copied here"):
        import_model(tiny)


def test_an_unknown_model_brings_a_hint(tiny: Path, user_models: Path) -> None:
    import_model(tiny)
    with pytest.raises(ModelError, match="Did you mean tiny"):
        find_model("tinny")


def test_a_model_is_found_by_its_folder(tiny: Path) -> None:
    assert find_model(str(tiny)).name == "tiny"


def test_a_broken_model_does_not_hide_the_others(tiny: Path, user_models: Path) -> None:
    import_model(tiny)
    (user_models / "broken").mkdir()
    (user_models / "broken" / "model.json").write_text("{")
    cards, broken = ModelStore().scan()
    assert "tiny" in [card.name for card in cards]
    assert "broken" in str(broken[0])


def test_a_folder_with_another_name_than_its_card_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "one", name="other")
    cards, broken = ModelStore(bundled=tmp_path, user=tmp_path / "none").scan()
    assert not cards
    assert "names the model 'other'" in str(broken[0])


def test_models_are_listed_without_torch() -> None:
    code = "import sys, MedAILib; MedAILib.list_models(); sys.exit('torch' in sys.modules)"
    root = Path(MedAILib.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_the_shell_imports_lists_shows_and_verifies(
    tiny: Path, user_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "import", str(tiny)]) == 0
    assert main(["models", "list"]) == 0
    assert main(["models", "info", "tiny"]) == 0
    assert main(["models", "verify", "tiny"]) == 0
    output = capsys.readouterr().out
    assert "Ball and core (tiny 1.0)" in output
    assert "tiny 1.0: good" in output
    assert main(["models", "list", "--json"]) == 0
    assert "tiny" in [model["name"] for model in json.loads(capsys.readouterr().out)["models"]]


def test_verify_exits_with_8_and_the_reason(user_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(user_models / "bad", trained=False)
    assert main(["models", "verify", "bad"]) == 8
    assert "not trained" in capsys.readouterr().err
