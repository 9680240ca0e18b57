"""Networks by name, as model folders and training recipes name them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from ..errors import ModelError

NETWORKS = {
    "averaged": "averaged:Averaged",
    "dlest": "dlest:DLEST",
    "fet": "fet:FET",
    "ffpn": "ffpn:FFPN",
    "hifidiff": "hifidiff:HiFiDiff",
    "implicit_unet": "implicit_unet:ImplicitUNet",
    "implicit_unet_fast": "implicit_unet_fast:FastImplicitUNet",
    "iscf": "iscf:ISCF",
    "lapirn": "lapirn:LapIRN",
    "magnet": "magnet:MagNET",
    "mammo_sam": "mammo_sam:MammoSam",
    "monai_basic_unet": "monai.basic_unet:MonaiBasicUNet",
    "monai_segresnet": "monai.segresnet:MonaiSegResNet",
    "monai_unet": "monai.unet:MonaiUNet",
    "morse": "morse_network:Morse",
    "multi_encoder": "multi_encoder:MultiEncoderUNet",
    "nisf": "nisf:NISF",
    "nnunet": "nnunet:NNUNet",
    "pdv_net": "pdv_net:PDVNet",
    "pe_med": "pe_med:PEMed",
    "promptable_unet": "promptable:PromptableUNet",
    "res_unet_h": "res_unet:ResUNetH",
    "res_unet_r": "res_unet:ResUNetR",
    "relational_unet": "relational_unet:RelationalUNet",
    "residual_unet": "unet:ResidualUNet",
    "sam": "sam:Sam",
    "slicewise": "slicewise:SliceWise",
    "sppnet": "sppnet:SPPNet",
    "super_token": "super_token:SuperToken",
    "thick_slice": "thick_slice:ThickSliceNetwork",
    "tm_dca": "tm_dca:TMDCA",
    "unet2d": "unet2d:UNet2D",
    "unoranic": "unoranic:Unoranic",
    "vnet": "vnet:VNet",
}
"""Name to module of this package and class there; only the one that is asked for is imported."""


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
    module, kind = NETWORKS[name].split(":")
    try:
        network: nn.Module = getattr(import_module(f".{module}", __name__), kind)(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f'The arguments of network "{name}" do not fit: {error}.') from error
    return network
