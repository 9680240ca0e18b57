from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from MedAILib.errors import UsageError, WorkerError, WriteError
from MedAILib.worker import arrays as module
from MedAILib.worker.arrays import PREFIX, Exchange, read_arrays, sweep, write_arrays
from permissions import needs_permissions
from worker_tools import CHILD

SAMPLES = {
    "float volume": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "labels": np.arange(24, dtype=np.uint16).reshape(2, 3, 4)[::-1, :, ::2],
    "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "big endian": np.arange(6, dtype=">i4"),
    "flags": np.array([True, False]),
    "number": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "not finite": np.array([np.nan, np.inf]),
    "half": np.ones((2, 2), np.float16),
}


@pytest.mark.parametrize("mapped", [True, False])
def test_arrays_of_every_layout_and_number_type_come_back_equal(tmp_path: Path, mapped: bool) -> None:
    back = read_arrays(tmp_path, write_arrays(tmp_path, "in", SAMPLES), mapped)
    assert back.keys() == SAMPLES.keys()
    for name, array in SAMPLES.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        np.testing.assert_array_equal(back[name], array)


def test_names_of_arrays_never_become_file_names(tmp_path: Path) -> None:
    names = ["../../escape", "/etc/passwd", "è 漢\n", ""]
    files = write_arrays(tmp_path, "in", {name: np.ones(1) for name in names})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files.values())
    assert list(read_arrays(tmp_path, files, mapped=True)) == names


def test_a_mapped_array_can_be_changed_without_changing_the_file(tmp_path: Path) -> None:
    files = write_arrays(tmp_path, "in", {"a": np.zeros(3)})
    read_arrays(tmp_path, files, mapped=True)["a"][:] = 1
    np.testing.assert_array_equal(read_arrays(tmp_path, files, mapped=False)["a"], np.zeros(3))


def test_a_loaded_array_stays_valid_after_its_file_is_gone(tmp_path: Path) -> None:
    files = write_arrays(tmp_path, "out", {"a": np.arange(1000)})
    array = read_arrays(tmp_path, files, mapped=False)["a"]
    for file in files.values():
        (tmp_path / file).unlink()
    array += 1
    assert array[-1] == 1000


def test_python_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(UsageError, match="'a' holds Python objects"):
        write_arrays(tmp_path, "in", {"a": objects})
    np.save(tmp_path / "in-0.npy", objects, allow_pickle=True)
    with pytest.raises(WorkerError):
        read_arrays(tmp_path, {"a": "in-0.npy"}, mapped=False)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_an_error_that_names_the_array(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in-0.npy").write_bytes(content)
    with pytest.raises(WorkerError, match="'image' was lost"):
        read_arrays(tmp_path, {"image": "in-0.npy"}, mapped=True)


def test_a_missing_file_is_an_error_that_names_the_array(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="'image' was lost"):
        read_arrays(tmp_path, {"image": "in-0.npy"}, mapped=True)


def test_the_folder_is_private_and_gone_after_closing(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    first, second = exchange.folder(0), exchange.folder(0)
    assert first.parent == second.parent
    assert first.parent.name.startswith(PREFIX)
    if os.name == "posix":
        assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    exchange.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WorkerError, match="closed"):
        exchange.folder(0)


def test_a_folder_that_the_system_cleared_is_made_anew(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    root = exchange.folder(0).parent
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()
    assert exchange.folder(0).is_dir()
    exchange.close()
    assert list(tmp_path.iterdir()) == []


def test_memory_is_preferred_only_while_it_has_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_MEMORY", tmp_path)
    monkeypatch.setattr(module, "_SPARE", 0)
    assert module._place(1) == tmp_path
    assert module._place(2**60) != tmp_path
    monkeypatch.setattr(module, "_MEMORY", tmp_path / "missing")
    assert module._place(1) != tmp_path


@needs_permissions
def test_a_folder_without_write_permission_is_a_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match="set TMPDIR"):
        Exchange(tmp_path).folder(0)


def test_a_missing_temporary_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"gone.*set TMPDIR"):
        Exchange(tmp_path / "gone").folder(0)


def test_no_temporary_folder_at_all_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nothing() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(module, "_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(module.tempfile, "gettempdir", nothing)
    with pytest.raises(WriteError, match="set TMPDIR"):
        Exchange().folder(0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_a_clear_error_that_says_how_much_is_needed(tmp_path: Path) -> None:
    (tmp_path / "in-0.npy").symlink_to("/dev/full")
    with pytest.raises(WriteError, match=r"8 MB needed.*Free some space"):
        write_arrays(tmp_path, "in", {"a": np.zeros(2**20)})


def orphan(base: Path) -> Path:
    """A folder whose owner died without a chance to clean up."""
    code = (
        "import os, sys; from pathlib import Path; from MedAILib.worker.arrays import Exchange;"
        "print(Exchange(Path(sys.argv[1])).folder(0).parent, flush=True); os._exit(1)"
    )
    command = [sys.executable, "-c", code, str(base)]
    output = subprocess.run(command, env=CHILD, stdout=subprocess.PIPE, text=True, check=False)
    return Path(output.stdout.strip())


def test_the_folder_of_a_dead_process_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = orphan(tmp_path)
    assert left.is_dir()
    Exchange(tmp_path)
    assert not left.exists()


def test_folders_in_use_foreign_folders_and_links_are_left_alone(tmp_path: Path) -> None:
    living = Exchange(tmp_path)
    root = living.folder(0).parent
    foreign = tmp_path / "somebody-elses"
    foreign.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(elsewhere)
    half_made = tmp_path / f"{PREFIX}half-made"
    half_made.mkdir()
    sweep(tmp_path)
    assert all(path.exists() for path in (root, foreign, elsewhere, link, half_made))
    living.close()


def test_a_folder_that_was_never_finished_is_removed_when_old(tmp_path: Path) -> None:
    half_made = tmp_path / f"{PREFIX}half-made"
    half_made.mkdir()
    long_ago = time.time() - 86400
    os.utime(half_made, (long_ago, long_ago))
    sweep(tmp_path)
    assert not half_made.exists()
