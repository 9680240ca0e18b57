"""Segmentation led by points, strokes, boxes and lassos: in the Segment Editor, in the panel, on the console."""
