"""The Slicer side of super-resolution: from the panel and the console to nodes and back."""
