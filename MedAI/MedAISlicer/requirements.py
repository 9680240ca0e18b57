"""Sees to it that the worker finds its Python packages, asking the user before anything is installed."""

from __future__ import annotations

import importlib
import logging
import subprocess
from pathlib import Path

import slicer.packaging
from slicer.i18n import tr as _

from MedAILib.errors import MedAIError

TORCH = ">=2.4"
REQUIREMENTS = Path(__file__).parents[1] / "Resources" / "requirements.txt"
"""Everything but torch."""


class RequirementsError(MedAIError):
    """A Python package that the worker needs is missing or too old, and was not installed."""

    code = "package"


def ensure(torch: bool = True) -> None:
    """Install what is missing or too old, after the user agreed; quick where nothing is.

    Torch is looked for without being imported: it belongs into the worker's process, not into Slicer's.

    Args:
        torch: whether the run needs it.

    Raises:
        RequirementsError: a package is missing still; the message says what to do.
    """
    if torch and not torch_installed():
        _install_torch()
    try:
        slicer.packaging.pip_ensure(slicer.packaging.load_requirements(REQUIREMENTS), requester="MedAI")
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        logging.warning("MedAI: Python packages were not installed: %s", error)
        raise RequirementsError(
            _("MedAI needs Python packages that were not installed ({reason}). Run again to install them.").format(
                reason=error
            )
        ) from error


def torch_installed() -> bool:
    """Whether Python has a torch that is new enough."""
    return bool(slicer.packaging.pip_check(f"torch{TORCH}"))


def complete() -> bool:
    """Whether everything that the worker needs is there."""
    return torch_installed() and bool(slicer.packaging.pip_check(slicer.packaging.load_requirements(REQUIREMENTS)))


def _install_torch() -> None:
    try:
        utilities = importlib.import_module("PyTorchUtils")
    except ImportError:
        raise RequirementsError(
            _(
                "MedAI computes with PyTorch, and the PyTorch extension, which installs it, is missing. "
                "Install the extension named PyTorch in the Extensions Manager, restart Slicer, and run again."
            )
        ) from None
    try:
        utilities.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH)
    except (RuntimeError, OSError, ImportError, ValueError, subprocess.SubprocessError) as error:
        logging.warning("MedAI: PyTorch was not installed: %s", error)
    importlib.invalidate_caches()
    if not torch_installed():
        raise RequirementsError(
            _(
                "PyTorch {version} was not installed, and MedAI cannot compute without it. Run again to install it; "
                "where the installation itself fails, the module PyTorch Utils shows why."
            ).format(version=TORCH)
        )
