"""AI assist in one Segment Editor: puts mouse, options, marks and answers together."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MedAILib.errors import MedAIError
from MedAILib.geometry import spacing_of
from MedAILib.interactive.prompts import Prompt

from .. import mrml
from ..devices import DeviceQuestion
from ..pulse import Pulse
from ..requirements import ensure
from . import prompt_tags, wording
from .chosen import Chosen
from .controller import AssistController, Status
from .editors import EffectEditor
from .interaction import Interaction
from .marks import Mark, Marks
from .options import Options
from .places import own_length, own_points, world_points
from .preview import Preview
from .target import Target
from .views import View, all_views

Node = Any
UI = "UI/AIAssist.ui"


class Desk:
    """What the scripted effect does.

    Args:
        effect: qSlicerSegmentEditorScriptedEffect.
    """

    def __init__(self, effect: Any) -> None:
        self._effect = effect
        self._chosen = Chosen(effect)
        self._marks = Marks(effect)
        self._preview = Preview()
        self._observed: list[tuple[Any, int]] = []
        self._watched: tuple[Node | None, Node | None] = (None, None)
        self._shown: tuple[Any, ...] = ()

        self.controller = AssistController(
            EffectEditor(effect), Pulse(self._tick), self._onStatus, self._preview.show, prepare=ensure
        )
        actions = {"sign": self._turn, "accept": self.controller.accept, "discard": self.controller.discard}
        self.interaction = Interaction(effect, self._chosen, self._marks, self._drawn, actions, self._voxel)

        widget = slicer.util.loadUI(_resource(UI))
        effect.addOptionsWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self.options = Options(self.ui, self._chosen)
        self._devices = DeviceQuestion(self.options.show_devices)
        self.options.connect()
        self.ui.cancelButton.connect("clicked(bool)", self._cancel)
        self.ui.acceptButton.connect("clicked(bool)", self.controller.accept)
        self.ui.discardButton.connect("clicked(bool)", self.controller.discard)
        self.ui.refineButton.connect("clicked(bool)", self._refine)
        self.ui.clearButton.connect("clicked(bool)", self._clear)
        self.ui.nextButton.connect("clicked(bool)", self._next)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self._onAdvanced)

    def activate(self) -> None:
        """The user chose the effect."""
        self._observe()
        self._find_views()

    def deactivate(self) -> None:
        """The user chose another effect, or the editor goes away."""
        self.interaction.stop()
        self.controller.cancel(wording.left_effect())
        self._unobserve()
        self._marks.remove()
        self.controller.rest()

    def cleanup(self) -> None:
        """The effect goes away for good."""
        self.deactivate()
        self._devices.stop()
        self.controller.close()

    def process(self, interactor: Any, event: int, view: View) -> bool:
        """An event of a view; True if nobody else shall get it."""
        return self.interaction.process(interactor, event, view)

    def view_changed(self, view: View) -> None:
        """A view was moved or turned."""
        self.interaction.refresh(view)

    def show_chosen(self) -> None:
        """The parameters changed."""
        self.options.show_chosen()
        self._show_marks()

    def source_changed(self) -> None:
        """Another volume is drawn on."""
        if self.controller.busy:
            self.controller.cancel(_("Another volume was chosen; the last prompt was dropped."))
        self._observe()
        self._show_marks()

    def layout_changed(self) -> None:
        """The views are others."""
        self.interaction.stop()
        self._marks.remove()
        self._find_views()

    def target(self, make: bool = False) -> Target | None:
        """The chosen segment and volume; None where there is none.

        Args:
            make: add a segment to an empty segmentation.
        """
        node = self._effect.parameterSetNode()
        if node is None:
            return None
        segmentation, volume = node.GetSegmentationNode(), node.GetSourceVolumeNode()
        if segmentation is None or volume is None:
            return None
        segment_id = node.GetSelectedSegmentID() or ""
        if segmentation.GetSegmentation().GetSegment(segment_id) is None:
            if not make or segmentation.GetSegmentation().GetNumberOfSegments():
                return None
            segment_id = segmentation.GetSegmentation().AddEmptySegment()
            node.SetSelectedSegmentID(segment_id)
        return Target(volume, segmentation, segment_id)

    def _drawn(self, kind: str, points: np.ndarray, positive: bool, radius: float) -> None:
        """A prompt was drawn in a view."""
        target = self.target(make=True)
        if target is None:
            self._say(_("Choose a segment and a source volume, then draw on it."), failed=True)
            return
        own = own_points(target.volume, points)
        prompt = Prompt(kind, own, positive, radius=own_length(target.volume, points[0], radius))
        self.controller.add(target, prompt, self._chosen.settings)
        self._show_marks()

    def _cancel(self) -> None:
        self.controller.cancel()

    def _refine(self) -> None:
        target = self.target()
        if target is None or not target.current().any():
            self._say(_("There is nothing to refine. Choose a segment that is not empty."), failed=True)
            return
        self.controller.refine(target, self._chosen.width, self._chosen.settings)

    def _clear(self) -> None:
        """Forget the prompts; the voxels stay."""
        target = self.target()
        self.controller.cancel()
        if target is None or not prompt_tags.text_of(target.segment):
            self._say(_("The segment has no prompts."))
            return
        self._effect.saveStateForUndo()
        prompt_tags.write(target.segment, (), target.volume)
        self._say(_("The prompts were cleared; the segment stays as it is."))
        self._show_marks()

    def _next(self) -> None:
        """Go on with the next segment; after the last one a new one is added."""
        node = self._effect.parameterSetNode()
        segmentation = None if node is None else node.GetSegmentationNode()
        if segmentation is None:
            return
        content = segmentation.GetSegmentation()
        number = content.GetSegmentIndex(node.GetSelectedSegmentID() or "") + 1
        if number >= content.GetNumberOfSegments():
            self._effect.saveStateForUndo()
            node.SetSelectedSegmentID(content.AddEmptySegment())
        else:
            node.SetSelectedSegmentID(content.GetNthSegmentID(number))

    def _turn(self) -> bool:
        self._chosen.set("Positive", not self._chosen.positive)
        return True

    def _voxel(self) -> float:
        target = self.target()
        return min(spacing_of(mrml.local_affine(target.volume))) if target is not None else 1.0

    def _tick(self) -> None:
        self.controller.tick()

    def _say(self, line: str, failed: bool = False) -> None:
        self.options.show_status(Status(line=line, failed=failed))

    def _onStatus(self, status: Status) -> None:
        self.options.show_status(status)
        if status.failed:
            logging.info("MedAI: %s", status.line)
        if not self.controller.busy:
            self._show_marks()

    def _onAdvanced(self, collapsed: bool) -> None:
        """Ask for the devices when somebody wants to see them for the first time."""
        if not collapsed:
            with slicer.util.tryWithErrorDisplay(_("The devices could not be listed.")):
                self._devices.ask()

    def _observe(self) -> None:
        """Look after what the marks depend on."""
        self._unobserve()
        node = self._effect.parameterSetNode()
        if node is None:
            return
        observed = [(node, vtk.vtkCommand.ModifiedEvent)]
        segmentation, volume = node.GetSegmentationNode(), node.GetSourceVolumeNode()
        if segmentation is not None:
            observed.append((segmentation.GetSegmentation(), slicer.vtkSegmentation.SegmentModified))
            observed.append((segmentation.GetSegmentation(), slicer.vtkSegmentation.SegmentRemoved))
        if volume is not None:
            observed.append((volume, slicer.vtkMRMLTransformableNode.TransformModifiedEvent))
        self._observed = [(thing, thing.AddObserver(event, self._onSceneChanged)) for thing, event in observed]
        self._watched = (segmentation, volume)

    def _unobserve(self) -> None:
        for thing, tag in self._observed:
            thing.RemoveObserver(tag)
        self._observed = []

    def _onSceneChanged(self, caller: Any, event: Any) -> None:
        node = self._effect.parameterSetNode()
        if node is None or node.GetScene() is None or node.GetScene().IsClosing():
            return
        now = (node.GetSegmentationNode(), node.GetSourceVolumeNode())
        if now != self._watched:
            if self.controller.busy:
                self.controller.cancel(_("Another segmentation was chosen; the last prompt was dropped."))
            self._observe()
        self._show_marks()

    def _find_views(self) -> None:
        """Show the marks in all views that show the segmentation."""
        self._shown = ()
        for view in all_views():
            if self._effect.segmentationDisplayableInView(self._effect.viewNode(view)):
                self._marks.of(view)
        self._show_marks()

    def _show_marks(self) -> None:
        """Read the prompts of the segment, and those on their way, and draw them where they changed."""
        target = self.target()
        try:
            marks, state = self._read_marks(target)
        except MedAIError:
            marks, state = [], ()
        self._marks.marks = marks
        if state != self._shown or not state:
            self._shown = state
            for view in self._marks.views:
                self.interaction.refresh(view)

    def _read_marks(self, target: Target | None) -> tuple[list[Mark], tuple[Any, ...]]:
        if target is None or target.why_gone() or not self._chosen.marks:
            return [], (None,)
        prompts = [*prompt_tags.read(target.segment, target.volume), *self.controller.pending(target)]
        marks = [Mark(one.kind, world_points(target.volume, one.points), one.positive) for one in prompts]
        self._marks.half = 0.5 * max(spacing_of(mrml.local_affine(target.volume)))
        return marks, tuple((mark.kind, mark.positive, mark.points.tobytes()) for mark in marks)


def _resource(name: str) -> str:
    from pathlib import Path

    return str(Path(__file__).parents[2] / "Resources" / name)
