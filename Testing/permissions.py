"""Whether file permissions hold this user back; they do not hold back the superuser, nor anybody on Windows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


def _hold() -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0)
        try:
            list(folder.iterdir())
        except PermissionError:
            return True
        finally:
            folder.chmod(0o700)
    return False


needs_permissions = pytest.mark.skipif(not _hold(), reason="file permissions do not hold this user back")
