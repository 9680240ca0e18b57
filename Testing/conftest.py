"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose network finds a bright ball, see :mod:`tiny_model`; do not change it."""
    from tiny_model import write_model

    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def user_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user's model folder that is not yet there."""
    folder = tmp_path / "my models"
    monkeypatch.setenv("MEDAI_MODELS", str(folder))
    return folder
