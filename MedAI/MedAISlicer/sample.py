"""The head MR that comes with Slicer's own sample data."""

from __future__ import annotations

import importlib
from typing import Any

import slicer
from slicer.i18n import tr as _

from MedAILib.errors import ReadError

NAME = "MRHead"
FILE = "MR-head.nrrd"
SHA256 = "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93"


def register_sample(thumbnail: str) -> None:
    """List the head MR in the Sample Data module under MedAI too, with a picture of what becomes of it.

    Slicer calls this when it has started; without the Sample Data module nothing is listed.

    Args:
        thumbnail: path of the picture.
    """
    try:
        logic = importlib.import_module("SampleData").SampleDataLogic
    except ImportError:
        return
    logic.registerCustomSampleDataSource(
        category="MedAI",
        sampleName=NAME,
        uris=f"{slicer.util.TESTING_DATA_URL}SHA256/{SHA256}",
        fileNames=FILE,
        nodeNames=NAME,
        thumbnailFileName=thumbnail,
        checksums=f"SHA256:{SHA256}",
    )


def load_sample() -> Any:
    """Load MRHead, from Slicer's cache or, the first time, from its data server; returns the volume node.

    Raises:
        ReadError: neither was possible.
    """
    try:
        # Of what could not be loaded the list is empty, or holds None.
        nodes = [node for node in importlib.import_module("SampleData").downloadSamples(NAME) if node is not None]
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise ReadError(
            _("The sample {name} could not be loaded ({reason}). Is this computer on-line?").format(
                name=NAME, reason=error
            )
        ) from error
    if not nodes:
        raise ReadError(_("The sample {name} could not be loaded. Is this computer on-line?").format(name=NAME))
    return nodes[0]
