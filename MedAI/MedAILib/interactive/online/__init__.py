"""Segmentation that learns from nothing but what the user draws."""
