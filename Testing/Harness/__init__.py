"""A stand-in for the Slicer desktop: real MRML (``slicer-core``), offscreen PySide6, and small fakes of the rest.

``desktop()`` makes ``qt``, ``ctk`` and the parts of ``slicer`` that the PyPI package lacks importable, so that the
modules' own widget code runs unchanged. The fakes know only what the modules use, under the names and with the manners
(PythonQt) of a real Slicer.
"""

from __future__ import annotations

from .desktop import Desktop, desktop, missing

__all__ = ["Desktop", "desktop", "missing"]
