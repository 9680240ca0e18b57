"""The Slicer side of MedAI Registration: its panel, its runs, and their results in the scene."""
