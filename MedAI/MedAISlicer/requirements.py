"""Sees to it that the worker finds its Python packages, asking the user before anything is installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import subprocess

import slicer.packaging
from slicer.i18n import tr as _

from MedAILib.errors import MedAIError

TORCH = ">=2.4"


class RequirementsError(MedAIError):
    """A Python package that the worker needs is missing, and was not installed."""

    code = "package"


def ensure(requirements_path: str) -> None:
    """Install what is missing, after the user agreed; quick where nothing is.

    Torch is looked for without being imported: it belongs into the worker's process, not into Slicer's.

    Args:
        requirements_path: the requirements.txt with everything but torch.

    Raises:
        RequirementsError: a package is missing still; the message says what to do.
    """
    if not installed("torch"):
        _install_torch()
    try:
        slicer.packaging.pip_ensure(slicer.packaging.load_requirements(requirements_path), requester="MedAI")
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        logging.warning("MedAI: Python packages were not installed: %s", error)
        raise RequirementsError(
            _(
                "MedAI needs Python packages that were not installed ({reason}). Press Apply again to install them."
            ).format(reason=error)
        ) from error


def installed(package: str) -> bool:
    """Whether Python has a package, found without importing it."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _install_torch() -> None:
    try:
        utilities = importlib.import_module("PyTorchUtils")
    except ImportError:
        raise RequirementsError(
            _(
                "MedAI computes with PyTorch, and the PyTorch extension, which installs it, is missing. "
                "Install the extension named PyTorch in the Extensions Manager, restart Slicer, and press Apply again."
            )
        ) from None
    try:
        utilities.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH)
    except (RuntimeError, OSError, ImportError, ValueError, subprocess.SubprocessError) as error:
        logging.warning("MedAI: PyTorch was not installed: %s", error)
    importlib.invalidate_caches()
    if not installed("torch"):
        raise RequirementsError(
            _(
                "PyTorch was not installed, and MedAI cannot compute without it. Press Apply again to install it; "
                "where the installation itself fails, the module PyTorch Utils shows why."
            )
        )
