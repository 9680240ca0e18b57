"""The parts of the Segment Anything Model (Kirillov et al., ICCV 2023), written anew, for weights that users bring.

Parameters are named as in the public checkpoints, so that those load: ``image_encoder.*``, ``prompt_encoder.*``,
``mask_decoder.*``. No weights come with MedAI.
"""

from __future__ import annotations

from .model import Sam, image_encoder

__all__ = ["Sam", "image_encoder"]
