"""Training of the networks that restore slices on their own grid: unORANIC and DLEST."""
