"""The Segment Editor effect "AI assist".

Slicer loads this file by its path, takes its folder's name for the module's, and makes one object for each Segment
Editor. Everything is done by :class:`MedAISlicer.assist.desk.Desk`; this class only passes on what Slicer calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect  # type: ignore[import-not-found]
from slicer.i18n import tr as _

from MedAISlicer.assist import NAME

ICON = Path(__file__).parents[3] / "Resources" / "Icons" / "AIAssist.png"


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """What Slicer calls.

    Args:
        scriptedEffect: the qSlicerSegmentEditorScriptedEffect behind it.
    """

    def __init__(self, scriptedEffect: Any) -> None:
        scriptedEffect.name = NAME
        scriptedEffect.title = _("AI assist")
        scriptedEffect.requireSegments = False
        scriptedEffect.showEffectCursorInThreeDView = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.desk: Any = None

    def clone(self) -> Any:
        """Another one, for another editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects  # type: ignore[import-not-found]

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(Path(__file__).as_posix())
        return clonedEffect

    def icon(self) -> Any:
        """For the button."""
        return qt.QIcon(str(ICON)) if ICON.is_file() else qt.QIcon()

    def helpText(self) -> str:
        """Shown above the options."""
        return "<html>" + _(
            """Segment with a few clicks and strokes; each is answered at once<br>.
<p><ul style="margin: 0">
<li><b>Left-click or drag</b> in a slice view: draw with the chosen tool.
<li><b>Ctrl + left-click or drag:</b> draw with the opposite sign.
<li><b>Left-click on a surface</b> in a 3D view: place a point.
<li><b>p, s, x, l:</b> point, stroke, box, lasso. <b>n:</b> inside or outside.
<li><b>+, -, Shift + mouse wheel:</b> size of the brush.
<li><b>z, y:</b> undo and redo the last prompt. <b>q, w:</b> previous and next segment.
<li><b>Enter, Backspace:</b> accept or discard a preview.
</ul><p>
The prompts are kept with the segment. The masking settings below limit what may change."""
        )

    def setupOptionsFrame(self) -> None:
        """Make the options; called once for each editor."""
        from MedAISlicer.assist.desk import Desk

        self.desk = Desk(self.scriptedEffect)

    def setMRMLDefaults(self) -> None:
        """The editor has a node now; called before the options are made, too."""
        from MedAISlicer.assist.chosen import Chosen

        Chosen(self.scriptedEffect).set_defaults()

    def activate(self) -> None:
        """The user chose the effect."""
        self.desk.activate()

    def deactivate(self) -> None:
        """The user left the effect."""
        self.desk.deactivate()

    def cleanup(self) -> None:
        """The effect goes away."""
        if self.desk is not None:
            self.desk.cleanup()
            self.desk = None

    def processInteractionEvents(self, callerInteractor: Any, eventId: int, viewWidget: Any) -> bool:
        """An event of a view; True keeps it from everybody else."""
        return bool(self.desk.process(callerInteractor, eventId, viewWidget))

    def processViewNodeEvents(self, callerViewNode: Any, eventId: int, viewWidget: Any) -> None:
        """A view was moved, turned or zoomed."""
        self.desk.view_changed(viewWidget)

    def sourceVolumeNodeChanged(self) -> None:
        """The user chose another volume."""
        if self.desk is not None and self.scriptedEffect.active():
            self.desk.source_changed()

    def layoutChanged(self) -> None:
        """The user chose another layout."""
        if self.scriptedEffect.active():
            self.desk.layout_changed()

    def updateGUIFromMRML(self) -> None:
        """The parameters changed."""
        self.desk.show_chosen()

    def updateMRMLFromGUI(self) -> None:
        """Nothing: each widget writes its own parameter when the user changes it."""
