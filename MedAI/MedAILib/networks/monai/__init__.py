"""Networks of MONAI, built anew with its names of parameters, so that weights trained there load as they are.

Dropout is left out: it has no weights and does nothing when a trained network is used.
"""
