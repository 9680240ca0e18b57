"""Fixtures shared by the backend's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from MedAILib.worker import Worker
from worker_tools import FOLDER, TASKS


@pytest.fixture(scope="module")
def worker_environment() -> Iterator[None]:
    """Lets worker processes import the test tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(FOLDER))
        yield


@pytest.fixture(scope="module")
def common_worker(worker_environment: None) -> Iterator[Worker]:
    """One worker for all tests of a file that leave it alive."""
    with Worker("cpu", tasks=TASKS) as worker:
        yield worker


@pytest.fixture
def worker(worker_environment: None, tmp_path: Path) -> Iterator[Worker]:
    """A worker of one's own, which must leave no file behind."""
    with Worker("cpu", tasks=TASKS, temporary_folder=tmp_path, grace=0.3) as worker:
        yield worker
    assert list(tmp_path.iterdir()) == []
