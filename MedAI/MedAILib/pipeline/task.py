"""The worker's task "segment"."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models import ModelCard, load_network
from .request import answer, read_message
from .segment import segment, stages_of
from .stages import LOADING, Stages

if TYPE_CHECKING:
    import torch

_LOADING_SHARE = 0.02


def run(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Segment ``arrays["image"]``; the parameters are those of :meth:`MedAILib.pipeline.request.Request.message`.

    Args:
        parameters: plain JSON values.
        arrays: "image" (k, j, i), and "other0", … for a model that sees several volumes.
        context: the worker's: ``progress(stages)``, ``warm`` (kept between jobs), ``device``.

    Returns:
        The summary's JSON form, and "labels" (k, j, i) on the image's grid.
    """
    volumes, request = read_message(parameters, arrays)
    card = request.card()
    stages = Stages(context.progress({LOADING: _LOADING_SHARE, **stages_of(volumes, card)}))
    stages.begin(LOADING)
    network = _warm_network(card, context.warm)
    load = partial(_warm_network, warm=context.warm)
    return answer(segment(volumes, network, card, request, context.device, stages, load))


def _warm_network(card: ModelCard, warm: dict[Any, Any]) -> torch.nn.Module:
    """The network of an earlier job with the same weights and arguments, else a fresh one."""
    key = ("network", card.sha256, card.network, repr(sorted(card.network_arguments.items())))
    if key not in warm:
        warm[key] = load_network(card)
    return warm[key]
