"""A Qt timer that looks after things in the worker."""

from __future__ import annotations

import time
from collections.abc import Callable

import qt

_INTERVAL_MS = 50
_YIELD_S = 0.002


class Pulse:
    """Calls ``tick`` every 50 ms between :meth:`start` and :meth:`stop`."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._timer = qt.QTimer()
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.connect("timeout()", self._beat)

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _beat(self) -> None:
        # Slicer's event loop keeps Python's lock; the worker's reading threads get on only while Python code waits.
        time.sleep(_YIELD_S)
        self._tick()
