"""AI super-resolution in 3D Slicer: the place of the module, whose method is still to come."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class MedAISuperRes(ScriptedLoadableModule):
    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MedAI Super Resolution")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["MedAI Contributors (SlicerMedAI)"]
        self.parent.helpText = _(
            "Will make volumes with thick slices finer. This module's method is not part of this version yet."
        ) + _(' <a href="{url}">Documentation</a>').format(url="https://github.com/SlicerMedAI/SlicerMedAI#readme")
        self.parent.acknowledgementText = _("MedAI is open source under the Apache License 2.0.")


class MedAISuperResWidget(ScriptedLoadableModuleWidget):
    def setup(self) -> None:
        """Show the notice; called when the user opens the module for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MedAISuperRes.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)


class MedAISuperResLogic(ScriptedLoadableModuleLogic):
    pass


class MedAISuperResTest(ScriptedLoadableModuleTest):
    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run the tests one after the other."""
        self.setUp()
        self.test_PanelIsBuilt()

    def test_PanelIsBuilt(self) -> None:
        """The panel's file can be loaded."""
        assert slicer.util.getModuleWidget("MedAISuperRes") is not None
