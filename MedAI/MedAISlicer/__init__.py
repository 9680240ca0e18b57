"""MedAI inside 3D Slicer: MRML, results in the scene, panels and the console. Never imports torch."""
