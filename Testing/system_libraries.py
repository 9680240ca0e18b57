"""Which system libraries are missing for pictures (OpenGL) and for the panel tests (Qt), and which package has them.

``python Testing/system_libraries.py opengl qt`` prints one sentence per group that lacks something and exits with 0:
the demo goes on without pictures, the tests that need the libraries are skipped.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Libraries that are needed together.

    Attributes:
        packages: shared library to the Debian and Ubuntu package that brings it.
        without: what happens when one of them is missing.
    """

    packages: dict[str, str]
    without: str


GROUPS = {
    "opengl": Group(
        # Without a display VTK draws through EGL, and Mesa's EGL draws on the CPU where there is no graphics card.
        {"libEGL.so.1": "libegl1", "libEGL_mesa.so.0": "libgl1-mesa-dri"},
        "Going on without the 3D picture.",
    ),
    "qt": Group(
        {
            "libEGL.so.1": "libegl1",
            "libGL.so.1": "libgl1",
            "libX11.so.6": "libx11-6",
            "libdbus-1.so.3": "libdbus-1-3",
            "libfontconfig.so.1": "libfontconfig1",
            "libfreetype.so.6": "libfreetype6",
            "libglib-2.0.so.0": "libglib2.0-0",
            "libxkbcommon.so.0": "libxkbcommon0",
        },
        "The tests of the panels are skipped.",
    ),
}


SOFTWARE_RENDERER = "libegl1 libgl1-mesa-dri"
"""The packages that draw without display and graphics card; Mesa itself loads the second, so no list can tell of it."""


def missing(group: str) -> dict[str, str]:
    """Library to package, of the group's libraries that the loader does not find; empty beside Linux."""
    if not sys.platform.startswith("linux"):
        return {}
    if group == "opengl" and (os.environ.get("DISPLAY") or _loads("libOSMesa.so.8") or _loads("libEGL_nvidia.so.0")):
        return {}
    return {name: package for name, package in GROUPS[group].packages.items() if not _loads(name)}


def sentence(group: str) -> str:
    """What is missing, how to get it and what happens without; empty when nothing is missing."""
    absent = missing(group)
    if not absent:
        return ""
    packages = SOFTWARE_RENDERER if group == "opengl" else " ".join(sorted(set(absent.values())))
    return (
        f"This computer lacks {', '.join(absent)}. On Debian and Ubuntu `apt install {packages}` brings "
        f"{'it' if len(absent) == 1 else 'them'}. {GROUPS[group].without}"
    )


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def main(groups: list[str]) -> int:
    """Print the sentences of the named groups."""
    for group in groups or list(GROUPS):
        text = sentence(group)
        if text:
            print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
