"""Networks by name, as model folders and training recipes name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..errors import ModelError
from .dlest import DLEST
from .hifidiff import HiFiDiff
from .lapirn import LapIRN
from .mammo_sam import MammoSam
from .pe_med import PEMed
from .promptable import PromptableUNet
from .sam import Sam
from .sppnet import SPPNet
from .thick_slice import ThickSliceNetwork
from .tm_dca import TMDCA
from .unet import ResidualUNet
from .unoranic import Unoranic

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "dlest": DLEST,
    "hifidiff": HiFiDiff,
    "lapirn": LapIRN,
    "mammo_sam": MammoSam,
    "pe_med": PEMed,
    "promptable_unet": PromptableUNet,
    "residual_unet": ResidualUNet,
    "sam": Sam,
    "sppnet": SPPNet,
    "thick_slice": ThickSliceNetwork,
    "tm_dca": TMDCA,
    "unoranic": Unoranic,
}


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights.

    Args:
        name: key of :data:`NETWORKS`.
        arguments: keyword arguments of its constructor, plain JSON values.

    Raises:
        ModelError: the name is unknown, or the arguments do not fit.
    """
    if name not in NETWORKS:
        raise ModelError(f'There is no network "{name}"; known: {", ".join(sorted(NETWORKS))}. Update MedAI.')
    try:
        return NETWORKS[name](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f'The arguments of network "{name}" do not fit: {error}.') from error
