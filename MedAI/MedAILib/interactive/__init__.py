"""Segmentation that a user leads with points, strokes, boxes and lassos."""
