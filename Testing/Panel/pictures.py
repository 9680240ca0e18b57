"""Saves pictures of the three panels: ``python Testing/Panel/pictures.py [FOLDER] [--image HEAD.nii.gz]``.

The MedAI panel is shown after a run on the image, by default the demo's, where that and a model are there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "MedAI"), str(REPOSITORY / "Testing")]

WIDTH = 500
NAMES = {"MedAI": "panel.png", "MedAIRegistration": "panel_registration.png", "MedAISuperRes": "panel_superres.png"}


def main(arguments: list[str]) -> int:
    """Save the pictures and say where they are."""
    from Harness import desktop, missing

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    parser.add_argument("--image", type=Path, help="a head MR to segment for the picture of the MedAI panel")
    options = parser.parse_args(arguments)
    reason = missing()
    if reason:
        print(f"No pictures: {reason}")
        return 0
    here = desktop()
    here.new_scene(Path(tempfile.mkdtemp(prefix="medai-pictures-")))
    for module, name in NAMES.items():
        widget = here.load(module)
        image = options.image or _demo_image()
        if module == "MedAI" and image:
            _run(here, widget, image)
        here.picture(widget, options.folder / name, WIDTH)
        print(options.folder / name)
    for widget in list(here.widgets.values()):
        here.unload(widget)
    here.close_scene()
    return 0


def _demo_image() -> Path | None:
    from Demo.demo import sample
    from MedAILib.errors import ReadError

    try:
        return sample()
    except ReadError as error:
        print(f"The picture shows no result: {error}")
        return None


def _run(here: Any, panel: Any, path: Path) -> None:
    """Segment an image and wait for the end."""
    import slicer

    from MedAILib.files import read_image
    from MedAISlicer import mrml

    volume = mrml.volume_from_image(slicer.mrmlScene, read_image(path))
    panel.ui.inputSelector.setCurrentNode(volume)
    if not panel.ui.applyButton.enabled:
        print(f"The picture shows no result: {panel.ui.applyButton.toolTip}")
        return
    panel.ui.applyButton.click()
    here.wait(lambda: panel.ui.applyButton.text == "Apply", 600)
    for kind, text in here.messages:
        print(f"{kind}: {text}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
