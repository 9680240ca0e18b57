"""What the user reads when a package of the worker is missing; nothing is installed here."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[2] / "MedAI" / "Resources" / "requirements.txt"
KEPT_BY_SLICER = {"torch", "numpy", "vtk", "simpleitk", "scipy"}


class Extension:
    """The PyTorch extension; ``install`` is what its installation does."""

    def __init__(self, install) -> None:
        self.asked = []
        self.PyTorchUtilsLogic = lambda: SimpleNamespace(installTorch=self.installed)
        self._install = install

    def installed(self, **options) -> None:
        self.asked.append(options)
        self._install()


@pytest.fixture
def requirements(desk, monkeypatch):
    """The module, on a computer without torch."""
    from MedAISlicer import requirements

    versions = {}
    ask = importlib.metadata.version

    def version(name: str) -> str:
        if name != "torch":
            return ask(name)
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    return SimpleNamespace(module=requirements, versions=versions)


def test_what_computes_without_torch_does_not_ask_for_it(requirements):
    requirements.module.ensure(torch=False)


def test_without_the_pytorch_extension_the_user_learns_what_to_install(requirements):
    with pytest.raises(requirements.module.RequirementsError, match="Install the extension named PyTorch"):
        requirements.module.ensure()


@pytest.mark.parametrize("before", [{}, {"torch": "2.3.1+cu121"}], ids=["missing", "too old"])
def test_torch_is_installed_by_the_extension_after_asking(requirements, monkeypatch, before):
    requirements.versions.update(before)
    extension = Extension(lambda: requirements.versions.update(torch="2.10.0+cpu"))
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    requirements.module.ensure()
    assert extension.asked == [{"askConfirmation": True, "torchVersionRequirement": ">=2.4"}]


@pytest.mark.parametrize("failure", [None, RuntimeError("no network")], ids=["declined", "failed"])
def test_torch_that_was_not_installed_is_explained(requirements, monkeypatch, failure):
    def install() -> None:
        if failure:
            raise failure

    monkeypatch.setitem(sys.modules, "PyTorchUtils", Extension(install))
    with pytest.raises(requirements.module.RequirementsError, match=r"PyTorch >=2\.4 was not installed.*Run again"):
        requirements.module.ensure()


def test_a_torch_that_is_new_enough_is_left_alone(requirements):
    requirements.versions["torch"] = "2.4.0+cu118"
    requirements.module.ensure()
    assert requirements.module.torch_installed()
    requirements.versions.clear()
    assert not requirements.module.complete()


def test_the_requirements_leave_alone_what_slicer_and_its_extensions_bring():
    lines = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    names = {line.split(">=")[0].strip().lower() for line in lines}
    assert names == {"scikit-image", "pywavelets", "safetensors"}
    assert not names & KEPT_BY_SLICER
    assert not any("==" in line for line in lines)
