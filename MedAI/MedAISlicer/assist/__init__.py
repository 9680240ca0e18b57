"""Segmentation led by points, strokes, boxes and lassos: in the Segment Editor, in the panel, on the console."""

NAME = "AI assist"
"""Of the Segment Editor effect, by which modules and scenes find it; never translated."""
