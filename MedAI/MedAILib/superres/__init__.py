"""Sharper through-plane images from thick slices: the acquisition's physics, classical and learned methods.

Nothing here imports torch or scipy while it is loaded; what needs them imports them where it is used.
"""
