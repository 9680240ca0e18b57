"""Replacing files, also where a reader holds them for a moment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from MedAILib.onto import flush, move_onto


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


@pytest.mark.skipif(os.name != "posix", reason="asks POSIX how a file was opened")
def test_what_is_flushed_is_open_for_writing_as_windows_demands(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    how: list[int] = []
    monkeypatch.setattr("os.fsync", lambda handle: how.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE))
    flush(files[0])
    assert how == [os.O_RDWR]
    assert files[0].read_text() == "new"


def test_a_checkpoint_that_was_read_is_not_held_by_its_reader(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from MedAILib.training.checkpoint import NAME, Clock, read_checkpoint, save_checkpoint

    network = torch.nn.Linear(300, 300)
    optimizer = torch.optim.SGD(network.parameters())
    save_checkpoint(tmp_path, network, torch.nn.Linear(300, 300), optimizer, Clock(3, 4.0))
    tensors, clock = read_checkpoint(tmp_path / NAME)
    with (tmp_path / NAME).open("r+b") as file:
        file.write(b"\xff" * (tmp_path / NAME).stat().st_size)
    assert clock["step"] == 3
    assert torch.equal(tensors["network.weight"], network.weight)
