"""Makes the effect known to every Segment Editor."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from . import NAME

SOURCE = Path(__file__).parent / "MedAIAssist" / "SegmentEditorEffect.py"


def register_effect() -> bool:
    """Register it, once Slicer has started; editors that are open show it at once. False where there is no editor."""
    try:
        effects = importlib.import_module("qSlicerSegmentationsEditorEffectsPythonQt")
    except ImportError:
        logging.info("MedAI: there is no Segment Editor, so %s is not offered.", NAME)
        return False
    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(SOURCE.as_posix())
    effect.self().register()
    return True
