"""Vessels, ducts and nerves in the tab Correct: gaps bridged, the volume laid out along them, and the way back."""
