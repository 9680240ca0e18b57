"""What the user chose in the effect; kept in the Segment Editor's node of the scene, apart for each editor."""

from __future__ import annotations

from typing import Any

from .assistants import Engine
from .controller import Settings
from .gestures import POINT

LEAST_RADIUS, GREATEST_RADIUS = 0.0, 50.0

_DEFAULTS: dict[str, Any] = {
    "Tool": POINT,
    "Positive": 1,
    "Radius": 2.0,
    "Depth": 0.0,
    "Width": 2.0,
    "Engine": "auto",
    "Device": "auto",
    "Model": "",
    "Preview": 0,
    "Overwrite": 0,
    "Marks": 1,
}


class Chosen:
    """The effect's parameters.

    Args:
        effect: qSlicerSegmentEditorScriptedEffect.
    """

    def __init__(self, effect: Any) -> None:
        self._effect = effect

    def set_defaults(self) -> None:
        """Make sure that every parameter is there."""
        for name, value in _DEFAULTS.items():
            self._effect.setParameterDefault(name, value)

    @property
    def tool(self) -> str:
        """One of :data:`MedAISlicer.assist.gestures.TOOLS`."""
        return str(self._text("Tool"))

    @property
    def positive(self) -> bool:
        """Whether prompts say "this is it"."""
        return self._number("Positive") != 0.0

    @property
    def radius(self) -> float:
        """Of the brush, mm."""
        return self._number("Radius")

    @property
    def depth(self) -> float:
        """Of a box, mm; 0 for the mean of its sides."""
        return self._number("Depth")

    @property
    def width(self) -> float:
        """By how much a boundary may move when it is refined, mm."""
        return self._number("Width")

    @property
    def marks(self) -> bool:
        """Whether the views show the prompts."""
        return self._number("Marks") != 0.0

    @property
    def settings(self) -> Settings:
        """What the controller is told."""
        preview, overwrite = self._number("Preview") != 0.0, self._number("Overwrite") != 0.0
        engine = Engine(self._text("Engine"), self._text("Device"), self._text("Model"))
        return Settings(engine, preview, overwrite)

    def set(self, name: str, value: str | float | bool) -> None:
        """Change a parameter, by its name in the scene; whoever shows it is told."""
        if isinstance(value, bool):
            self._effect.setParameter(name, int(value))
        elif isinstance(value, str):
            self._effect.setParameter(name, value)
        else:
            self._effect.setParameter(name, float(value))

    def scale_radius(self, factor: float) -> None:
        """Make the brush larger or smaller."""
        radius = max(self.radius, 0.25) * factor
        self.set("Radius", round(min(max(radius, LEAST_RADIUS), GREATEST_RADIUS), 2))

    def _text(self, name: str) -> str:
        # Nothing is known before the editor has its node.
        return str(self._effect.parameter(name) or _DEFAULTS[name])

    def _number(self, name: str) -> float:
        try:
            return float(self._text(name))
        except ValueError:
            return float(_DEFAULTS[name])
