"""Saves pictures of the three panels: ``python Testing/Panel/pictures.py [FOLDER] [--image HEAD.nii.gz]``.

The MedAI panel is shown after a run on the image, by default the demo's, where that and a model are there; then its tab
Correct, after a lateral ventricle was drawn there by strokes, and what the strokes did; and its tab Train before,
during and after a training on copies of that image. The MedAI Registration panel is shown after a run on the same image
and a copy of it that was moved, warped and given another contrast; beside it what its comparison buttons show is saved.
The MedAI Super Resolution panel is shown after a run on thick slices made from that image, and what it compares is
saved as well.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "MedAI"), str(REPOSITORY / "Testing")]

WIDTH = 500
VIEWS, SUPERRES_VIEWS = "registration_views.png", "superres_views.png"
BUDGET = 60.0
"""Seconds that the super-resolution may learn."""
CORRECT, ASSIST_VIEWS = "panel_correct.png", "assist_views.png"
DRAWN = "left lateral ventricle"
"""What the pictures of AI assist draw; the automatic result stands for what a user has in mind."""
FORWARD = 80
"""Percentile of its voxels, from the back, at which the coronal plane lies."""
TRAIN = ("panel_train.png", "panel_train_running.png", "panel_train_done.png")
CASES, PATCH, TRAINING_MINUTES, SEEN_AT = 12, 48.0, 10.0, 75
"""How many cases, the side of patches in voxels, how long the training may take, at which percentage it is shown."""
NAMES = {"MedAI": "panel.png", "MedAIRegistration": "panel_registration.png", "MedAISuperRes": "panel_superres.png"}


def main(arguments: list[str]) -> int:
    """Save the pictures and say where they are."""
    from Harness import desktop, missing

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    parser.add_argument("--image", type=Path, help="a head MR to segment for the picture of the MedAI panel")
    parser.add_argument("--only", choices=list(NAMES), help="the panel of one module")
    options = parser.parse_args(arguments)
    options.folder = options.folder.absolute()
    reason = missing()
    if reason:
        print(f"No pictures: {reason}")
        return 0
    here = desktop()
    scratch = Path(tempfile.mkdtemp(prefix="medai-pictures-"))
    os.environ["MEDAI_MODELS"] = str(scratch / "models")
    here.new_scene(scratch)
    for module, name in NAMES.items():
        if options.only not in (None, module):
            continue
        widget = here.load(module)
        image = options.image or _demo_image()
        if module == "MedAI" and image:
            _run(here, widget, image)
        if module == "MedAIRegistration" and image:
            _register(here, widget, image, options.folder / VIEWS)
        if module == "MedAISuperRes" and image:
            _superresolve(here, widget, image, options.folder / SUPERRES_VIEWS)
        here.picture(widget, options.folder / name, WIDTH)
        print(options.folder / name)
        if module == "MedAI" and widget.ui.correctButton.enabled:
            _correct(here, widget, options.folder)
            _train(here, widget, options.folder)
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


def _correct(here: Any, panel: Any, folder: Path) -> None:
    """Draw a structure of the result by strokes, and give a mask back what it lost; save the tab and the steps."""
    import slicer
    from skimage.io import imsave

    from Harness.segment_editor import qMRMLSegmentEditorWidget
    from Harness.views import LayoutManager, SliceView
    from MedAISlicer import mrml
    from MedAISlicer.assist.target import Target
    from Panel.assist_steps import Bench
    from Panel.assist_view import assist_view, lead

    volume, result = panel.ui.inputSelector.currentNode(), panel.ui.outputSelector.currentNode()
    segment_id = result.GetSegmentation().GetSegmentIdBySegmentName(DRAWN)
    if not segment_id:
        print(f"No pictures of AI assist: the result has no {DRAWN}.")
        return
    truth = Target(volume, result, segment_id).current()
    plane = int(np.percentile(np.argwhere(truth)[:, 1], FORWARD))
    center = mrml.local_affine(volume) @ [truth.shape[2] / 2, plane, truth.shape[0] / 2, 1.0]
    panel.ui.correctButton.click()
    here.views = LayoutManager([SliceView(name, tuple(center[:3])) for name in ("Axial", "Coronal")])
    bench = Bench(here, qMRMLSegmentEditorWidget.opened[-1], volume, result)
    rows = []
    for name, half in (("From nothing", None), ("Half lost", truth)):
        bench.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        bench.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        bench.segmentation.GetSegmentation().AddEmptySegment("", DRAWN)
        bench.editor.setSegmentationNode(bench.segmentation)
        bench.editor.setCurrentSegmentID(bench.segment_id(DRAWN))
        bench.editor.setActiveEffectByName("AI assist")
        bench.key("s")
        bench.ui.brushSlider.setValue(0.5)
        if half is not None:
            kept = half.copy()
            kept[int(np.argwhere(half[:, plane])[:, 0].mean()) :] = False
            patch = mrml.layer_from_array(kept.astype(np.uint8), mrml.local_affine(volume))
            logic = bench.editor.logic
            add = logic.ModificationModeAdd
            logic.ModifySegmentByLabelmap(bench.segmentation, bench.segment_id(DRAWN), patch, add, True, True)
        rows.append(lead(bench, truth, plane, 3, DRAWN))
    imsave(folder / ASSIST_VIEWS, assist_view(mrml.image_from_node(volume), plane, rows), check_contrast=False)
    print(folder / ASSIST_VIEWS)
    here.picture(panel, folder / CORRECT, WIDTH)
    print(folder / CORRECT)


def _train(here: Any, panel: Any, folder: Path) -> None:
    """Train on copies of the image and of what was found in it; save the tab before, during and after that."""
    from Demo.labeled_cases import STRUCTURES, write_cases
    from MedAISlicer import mrml
    from MedAISlicer.train.tab import TRAIN as TAB

    volume, result = panel.ui.inputSelector.currentNode(), panel.ui.outputSelector.currentNode()
    content = result.GetSegmentation()
    ids = [content.GetSegmentIdBySegmentName(name) for name in STRUCTURES]
    image = mrml.image_from_node(volume)
    labels, table = mrml.labels_from_segmentation(result, image, ids)
    # A short name in the picture, whatever the temporary folder.
    os.chdir(Path(os.environ["MEDAI_MODELS"]).parent)
    cases = Path("hippocampus cases")
    write_cases(image, labels, table, cases, CASES)
    panel.ui.tabWidget.setCurrentIndex(TAB)
    tab = panel._train
    tab.ui.dataFolderPathEdit.setCurrentPath(str(cases))
    tab.ui.nameLineEdit.text = "Hippocampus"
    tab.ui.budgetSpinBox.setValue(TRAINING_MINUTES)
    tab.ui.patchSpinBox.setValue(PATCH)
    tab.ui.checkButton.click()
    here.wait(lambda: not tab.controller.busy, 120)
    here.picture(panel, folder / TRAIN[0], WIDTH)
    tab.ui.applyButton.click()
    here.wait(lambda: tab.ui.progressBar.value >= SEEN_AT or not tab.controller.busy, 1200)
    here.picture(panel, folder / TRAIN[1], WIDTH)
    here.wait(lambda: not tab.controller.busy, 1200)
    if tab.ui.applyButton.text == "Resume":
        # A busy computer did too few steps for a model in that time.
        tab.ui.budgetSpinBox.setValue(3.0 * TRAINING_MINUTES)
        tab.ui.applyButton.click()
        here.wait(lambda: not tab.controller.busy, 2400)
    here.picture(panel, folder / TRAIN[2], WIDTH)
    for kind, text in here.messages:
        print(f"{kind}: {text}")
    for name in TRAIN:
        print(folder / name)


def _register(here: Any, panel: Any, path: Path, views: Path) -> None:
    """Register a moved, warped and re-contrasted copy of an image to it, and save the quality view."""
    import slicer
    from skimage.io import imsave

    from Demo.moved_copy import moved_copy
    from MedAILib.files import read_image
    from MedAISlicer import mrml
    from MedAISlicer.registration import quality
    from Panel.quality_view import quality_view

    image = read_image(path)
    copy, _truth = moved_copy(image)
    fixed, moving = (mrml.volume_from_image(slicer.mrmlScene, one) for one in (image, copy))
    fixed.SetName("template")
    panel.ui.fixedSelector.setCurrentNode(fixed)
    panel.ui.movingSelector.setCurrentNode(moving)
    panel.ui.jacobianCheckBox.click()
    panel.ui.applyButton.click()
    here.wait(lambda: panel.ui.applyButton.text == "Apply", 1200)
    for kind, text in here.messages:
        print(f"{kind}: {text}")
    table = panel.ui.resultSelector.currentNode()
    if table is None:
        return
    transform = mrml.transform_from_node(quality.referred(table, quality.TRANSFORM), image)
    jacobian = mrml.image_from_node(quality.referred(table, quality.JACOBIAN))
    imsave(views, quality_view(image, copy, transform, jacobian), check_contrast=False)
    print(views)


def _superresolve(here: Any, panel: Any, path: Path, views: Path) -> None:
    """Make thick slices of an image fine again, and save how the result looks beside the cubic interpolation."""
    import slicer
    from skimage.io import imsave

    from Demo.thick_copy import thick_copy
    from MedAILib.files import read_image
    from MedAISlicer import figures, mrml
    from MedAISlicer.superres import results
    from Panel.superres_view import superres_view

    scan = thick_copy(read_image(path))
    volume = mrml.volume_from_image(slicer.mrmlScene, scan)
    panel.ui.inputSelector.setCurrentNode(volume)
    for button in (panel.ui.uncertaintyCheckBox, panel.ui.residualCheckBox, panel.ui.cubicCheckBox):
        button.click()
    panel.ui.qualityComboBox.setCurrentIndex(panel.ui.qualityComboBox.count - 1)
    panel.ui.budgetSlider.setValue(BUDGET)
    panel.ui.applyButton.click()
    here.wait(lambda: panel.ui.applyButton.text == "Apply", 1200)
    for kind, text in here.messages:
        print(f"{kind}: {text}")
    table = panel.ui.resultSelector.currentNode()
    if table is None:
        return
    roles = (results.CUBIC, results.VOLUME, results.UNCERTAINTY)
    nodes = [figures.referred(table, role) for role in roles]
    if None in nodes:
        print(f"{views} was not made: the method could not tell its uncertainty. {panel.ui.summaryLabel.text}")
        return
    imsave(views, superres_view(scan, *map(mrml.image_from_node, nodes)), check_contrast=False)
    print(views)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
