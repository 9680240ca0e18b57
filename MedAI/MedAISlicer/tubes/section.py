"""The section Tubes of the tab Correct: works on the segment and the volume that its Segment Editor shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..assist import NAME
from ..assist.editors import EffectEditor
from ..assist.target import Target
from ..pulse import Pulse
from ..reporting import report
from ..requirements import ensure
from ..run import Outcome, Run, RunController, State, Status
from ..wording import status_line, with_warnings
from .run import BridgeRun, RestoreRun, Result, StraightenRun, why_no_way_back

Node = Any


class TubeSection:
    """Connects the section's buttons.

    Args:
        ui: the named child widgets of MedAI.ui.
        editor: gives the qMRMLSegmentEditorWidget of the tab; None before it is made.
    """

    def __init__(self, ui: Any, editor: Callable[[], Any]) -> None:
        self._ui, self._editor = ui, editor
        self._run: Any = None
        self._controller = RunController(Pulse(self._beat), self._changed, self._ended)
        buttons = ui.bridgeButton, ui.straightenButton, ui.restoreButton
        self._usual = {button: (button.text, button.toolTip) for button in buttons}
        self._pressed: Any = None
        ui.bridgeButton.connect("clicked(bool)", self.on_bridge)
        ui.straightenButton.connect("clicked(bool)", self.on_straighten)
        ui.restoreButton.connect("clicked(bool)", self.on_restore)
        self._say("")

    @property
    def busy(self) -> bool:
        """Whether a run is on."""
        return self._controller.busy

    def update(self) -> None:
        """The editor shows something else: enable the buttons, or say why they are not."""
        target = self._target()
        reason = "" if target is not None else _("Choose a segment with voxels and a source volume above.")
        if not reason and target is not None and target.volume.GetImageData() is None:
            reason = target.why_gone()
        back = reason or why_no_way_back(target.volume if target is not None else None)
        self._enable(self._ui.bridgeButton, reason)
        self._enable(self._ui.straightenButton, reason)
        self._enable(self._ui.restoreButton, back)

    def on_bridge(self) -> None:
        """Close the gaps of the segment; while that goes on, cancel it."""
        self._press(
            self._ui.bridgeButton, lambda target: BridgeRun(target, EffectEditor(self._editor().effectByName(NAME)))
        )

    def on_straighten(self) -> None:
        """Lay the volume out along the segment; while that goes on, cancel it."""
        self._press(self._ui.straightenButton, StraightenRun)

    def on_restore(self) -> None:
        """Bring the segment back to the volume that the straightened one was made from; while that goes on, cancel."""
        self._press(self._ui.restoreButton, RestoreRun)

    def cancel(self, reason: str = "") -> None:
        """Stop; nothing is written."""
        self._controller.cancel(reason)

    def node_goes(self, node: Node) -> None:
        """A node is about to be removed."""
        if self.busy and self._run is not None and self._run.uses(node):
            self.cancel(_("{name} was deleted.").format(name=node.GetName()))

    def close(self) -> None:
        """The module goes away."""
        self._controller.abandon()

    def _press(self, button: Any, make: Callable[[Target], Run]) -> None:
        if self.busy:
            self.cancel()
            return
        target = self._target()
        if target is None:
            return
        with slicer.util.tryWithErrorDisplay(None):
            ensure()
            self._run, self._pressed = make(target), button
            self._controller.start(self._run)

    def _target(self) -> Target | None:
        editor = self._editor()
        if editor is None or editor.segmentationNode() is None or editor.sourceVolumeNode() is None:
            return None
        target = Target(editor.sourceVolumeNode(), editor.segmentationNode(), editor.currentSegmentID())
        return None if target.segment is None else target

    def _enable(self, button: Any, reason: str) -> None:
        text, tip = self._usual[button]
        if self.busy and button is self._pressed:
            text, tip, reason = _("Cancel"), _("Stop. The scene stays as it was."), ""
        going = self.busy and button is not self._pressed
        stopping = self._controller.status.state in (State.CANCELLING, State.IMPORTING)
        button.text = text
        button.enabled = not (reason or going or stopping)
        button.toolTip = reason or tip

    def _beat(self) -> None:
        self._controller.tick()

    def _changed(self, status: Status) -> None:
        self.update()
        if status.state is not State.IDLE:
            self._say(status_line(status))

    def _ended(self, outcome: Outcome) -> None:
        self._run = None
        if isinstance(outcome.result, Result):
            self._show(outcome.result)
            text = ". ".join(outcome.result.summary.sentences())
            self._say(with_warnings(f"{text[:1].upper()}{text[1:]}.", outcome.warnings))
        elif outcome.error is not None:
            self._say(str(outcome.error).partition("\n")[0])
        else:
            self._say(outcome.cancelled or _("Cancelled."))
        self.update()
        report(outcome)

    def _show(self, result: Result) -> None:
        editor = self._editor()
        if editor is None or result.volume is None:
            return
        editor.setSegmentationNode(result.segmentation)
        editor.setSourceVolumeNode(result.volume)
        slicer.util.setSliceViewerLayers(background=result.volume, fit=True)

    def _say(self, text: str) -> None:
        self._ui.tubesStatusLabel.text = text
        self._ui.tubesStatusLabel.visible = bool(text)
