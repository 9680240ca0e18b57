"""Bringing in models that others trained: folders of nnU-Net v2 and MONAI bundles. Importable without torch."""

from __future__ import annotations

from .bring import Import, import_any, kind_of

__all__ = ["Import", "import_any", "kind_of"]
