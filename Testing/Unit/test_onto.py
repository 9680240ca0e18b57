"""Replacing files, also where a reader holds them for a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from MedAILib.onto import move_onto


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    draft, target = tmp_path / "draft", tmp_path / "target"
    draft.write_text("new")
    target.write_text("old")
    return draft, target


def hold(monkeypatch: pytest.MonkeyPatch, times: int) -> list[Path]:
    """Refuse that many attempts, as Windows does while a file is read."""
    asked: list[Path] = []
    replace = Path.replace

    def refusing(self: Path, target: Path) -> Path:
        asked.append(target)
        if len(asked) <= times:
            raise PermissionError(13, "The process cannot access the file because it is being used")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refusing)
    monkeypatch.setattr("MedAILib.onto.time.sleep", lambda seconds: None)
    return asked


def test_a_file_takes_the_place_of_another(files: tuple[Path, Path]) -> None:
    draft, target = files
    move_onto(draft, target)
    assert target.read_text() == "new"
    assert not draft.exists()


def test_a_short_reader_is_waited_for_on_windows(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    draft, target = files
    monkeypatch.setattr(sys, "platform", "win32")
    asked = hold(monkeypatch, 3)
    move_onto(draft, target)
    assert target.read_text() == "new"
    assert len(asked) == 4


def test_who_holds_it_for_good_is_an_error(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    draft, target = files
    monkeypatch.setattr(sys, "platform", "win32")
    hold(monkeypatch, 99)
    with pytest.raises(PermissionError):
        move_onto(draft, target)
    assert target.read_text() == "old"


def test_elsewhere_no_time_is_lost_where_one_may_not_write(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    asked = hold(monkeypatch, 99)
    with pytest.raises(PermissionError):
        move_onto(*files)
    assert len(asked) == 1
