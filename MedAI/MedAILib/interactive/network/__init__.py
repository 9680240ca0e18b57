"""The trained network behind interactive segmentation: what it sees, where it looks, and what becomes of its answer."""
