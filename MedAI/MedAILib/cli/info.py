"""``medai info``: what is installed here."""

from __future__ import annotations

import argparse
import json
import platform
from typing import Any

from .. import __version__
from ..models import ModelStore

_PACKAGES = ("torch", "SimpleITK", "numpy", "scikit-image", "safetensors", "vtk")


def add(commands: Any) -> None:
    """Add the subcommand."""
    command = commands.add_parser("info", help="versions, devices and models; put it into a problem report")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print it."""
    facts = _facts()
    if options.json:
        print(json.dumps(facts))
        return 0
    print(f"MedAI {facts['medai']}, Python {facts['python']}, {facts['system']}")
    print("Packages:", ", ".join(f"{name} {found or 'missing'}" for name, found in facts["packages"].items()))
    for line in facts["devices"]:
        print("Device:", line)
    print(f"Models: {', '.join(facts['models']) or 'none'} (yours in {facts['model_folder']})")
    return 0


def _facts() -> dict[str, Any]:
    store = ModelStore()
    return {
        "medai": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": _devices(),
        "models": [f"{card.name} {card.version}" for card in store.scan()[0]],
        "model_folder": str(store.user),
    }


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[str]:
    if _version("torch") is None:
        return ["none: torch is not installed"]
    from ..inference.devices import describe

    return [f"{device.name} ({device.title}, {device.free_bytes / 2**30:.1f} GiB free)" for device in describe()]
