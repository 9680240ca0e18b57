"""The tab Train: a model of the user's own, from a folder of cases or from the scene's segmentations."""
