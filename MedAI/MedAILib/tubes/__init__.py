"""Thin tubular structures: mending a broken mask, straightening an image along it, and the way back.

The geometry of Wang et al. 2024 (thoracic duct; topology-corrected centerline and curved planar reformation), for any
mask of one tube. It needs no weights. Nothing here imports scipy or skimage while it is loaded.
"""
