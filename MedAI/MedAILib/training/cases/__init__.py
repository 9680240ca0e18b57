"""Training of a segmentation network on labeled scans of the user's own."""
