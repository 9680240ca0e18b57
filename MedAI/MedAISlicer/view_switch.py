"""The buttons that look at a result: which view goes on, what flickers, how much is faded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from .compare import SliceViews, View

Node = Any

FLICKER_MS = 500


class ViewSwitch:
    """One view at a time; the button that began it ends it.

    Args:
        views: shows them.
        slider: how much of the foreground is seen while fading, 0 to 100.
        shown: told which view goes on, None when none does.
    """

    def __init__(self, views: SliceViews, slider: Any, shown: Callable[[View | None], None]) -> None:
        self._views, self._slider, self._shown = views, slider, shown
        self._timer = qt.QTimer()
        self._timer.setInterval(FLICKER_MS)
        self._timer.connect("timeout()", self._flicker)
        self._opacity = 0.0

    @property
    def flickering(self) -> bool:
        """Whether the views change by themselves."""
        return bool(self._timer.active)

    def press(self, table: Node, view: View) -> None:
        """Look at a result in this way, or end that; an error is shown to the user."""
        ending = self._views.view is view
        self._timer.stop()
        if ending:
            self.stop()
            return
        try:
            with slicer.util.tryWithErrorDisplay(None, waitCursor=True):
                self._views.show(table, view)
        finally:
            self._shown(self._views.view)
        if view is View.FADE:
            self.fade(self._slider.value)
        elif view is View.FLICKER:
            self._timer.start()

    def fade(self, percent: int) -> None:
        """Show more or less of the foreground."""
        if self._views.view is View.FADE:
            self._views.set_opacity(percent / 100.0)

    def stop(self, restore: bool = True) -> None:
        """End what goes on; with ``restore`` the views show again what they did before."""
        self._timer.stop()
        if restore and self._views.view is not None:
            self._views.stop()
        self._views.forget()
        self._shown(None)

    def let_go(self) -> None:
        """End without a word: the panel is going away."""
        self._timer.stop()
        self._views.forget()

    def _flicker(self) -> None:
        self._opacity = 1.0 - self._opacity
        self._views.set_opacity(self._opacity)
