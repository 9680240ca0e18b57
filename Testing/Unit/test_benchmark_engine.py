"""The benchmark's own sentences; its measuring takes minutes and is not tested here."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "Benchmarks"))
    return import_module("engine")


def asked(engines: list[str], pipelines: list[str], tables: list[str]) -> Namespace:
    return Namespace(engines=engines, pipelines=pipelines, tables=tables)


def only_torch(name: str) -> str:
    if name != "torch":
        raise PackageNotFoundError(name)
    return "1.2"


def test_our_engine_alone_is_measured_without_the_peers(monkeypatch, engine):
    monkeypatch.setattr(engine, "version", only_torch)
    assert engine.versions(asked(["MedAI"], ["MONAI"], ["engine"])) == ["torch 1.2"]
    assert engine.versions(asked(["MONAI"], [], ["pipeline"])) == ["torch 1.2"]


@pytest.mark.parametrize(
    ("engines", "pipelines", "package"),
    [(["MedAI", "nnU-Net"], [], "nnunetv2"), (["MedAI"], ["MONAI labels"], "monai")],
)
def test_a_peer_that_is_asked_for_and_not_installed_is_named(monkeypatch, engine, engines, pipelines, package):
    monkeypatch.setattr(engine, "version", only_torch)
    with pytest.raises(SystemExit, match=rf"{package} is not installed.*benchmark"):
        engine.versions(asked(engines, pipelines, ["engine", "pipeline"]))


def test_each_peer_asked_for_is_named_once_with_its_version(monkeypatch, engine):
    monkeypatch.setattr(engine, "version", lambda name: "3")
    found = engine.versions(asked(["MONAI", "nnU-Net"], ["MONAI labels", "MONAI"], ["engine", "pipeline"]))
    assert found == ["torch 3", "monai 3", "nnunetv2 3"]
