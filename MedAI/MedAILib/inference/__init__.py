"""Sliding-window inference: from a network and an array to labels on the image's own grid."""
