"""Who may import what: inference stays out of Slicer's process, and Slicer out of the backend."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import sources

AT_FILE_SCOPE = {
    *sys.stdlib_module_names,
    "MedAILib",
    "MedAISlicer",
    "SegmentEditorEffects",
    "SimpleITK",
    "ctk",
    "numpy",
    "qt",
    "slicer",
    "vtk",
}
INFERENCE = {"torch", "safetensors", "skimage", "pywt", "monai"}
APPLICATION = {"MedAISlicer", "PySide6", "PythonQt", "ctk", "mrml", "qt", "slicer", "vtk", "vtkmodules"}
HAND_OVER = ("MedAI/MedAILib/api/", "MedAISlicer.console")
CONVERSION_FOLDER = "MedAI/MedAISlicer/mrml/"
CONVERSIONS = (
    "numpy_support",
    "dataset_adapter",
    "numpy_interface",
    "arrayFrom",
    "FromArray",
    "numpy_to_vtk",
    "vtk_to_numpy",
)


def roots(names):
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", sources.gui_files(), ids=sources.name_of)
def test_the_slicer_side_imports_nothing_foreign_at_file_scope(path):
    assert roots(sources.imports(path, file_scope_only=True)) - AT_FILE_SCOPE == set()


@pytest.mark.parametrize("path", sources.gui_files(), ids=sources.name_of)
def test_the_slicer_side_never_imports_what_inference_needs(path):
    assert roots(sources.imports(path)) & INFERENCE == set()


@pytest.mark.parametrize("path", sources.gui_files(), ids=sources.name_of)
def test_what_the_slicer_side_loads_of_the_backend_is_free_of_inference_and_foreign_packages(path):
    allowed = AT_FILE_SCOPE | {"scipy"}
    for file, names in sources.loaded_with(path).items():
        assert roots(names) - allowed == set(), f"reached through {sources.name_of(file)}"


@pytest.mark.parametrize("path", sources.backend_files(), ids=sources.name_of)
def test_the_backend_never_imports_the_application(path):
    found = {name for name in sources.imports(path) if name.split(".")[0] in APPLICATION}
    if sources.name_of(path).startswith(HAND_OVER[0]):
        found -= {HAND_OVER[1]}
        assert not roots(sources.imports(path, file_scope_only=True)) & APPLICATION
    assert found == set()


@pytest.mark.parametrize("path", sources.gui_files(), ids=sources.name_of)
def test_one_package_alone_converts_between_the_scene_and_arrays(path):
    if sources.name_of(path).startswith(CONVERSION_FOLDER):
        pytest.skip("this is the place")
    used = {node.attr for node in ast.walk(sources.tree_of(path)) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(sources.tree_of(path)) if isinstance(node, ast.Name)}
    used |= {part for name in sources.imports(path) for part in name.split(".")}
    assert {name for name in used if any(conversion in name for conversion in CONVERSIONS)} == set()


def test_importing_the_backend_loads_neither_torch_nor_image_libraries():
    heavy = "torch", "SimpleITK", "vtk", "vtkmodules", "skimage", "scipy", "pywt", "slicer"
    code = f"import sys, MedAILib; print(*(name for name in {heavy!r} if name in sys.modules))"
    folder = str(sources.REPOSITORY / "MedAI")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


RUNS = (ast.For, ast.While, ast.With, ast.AsyncFor, ast.AsyncWith, ast.Raise, ast.Delete, ast.Assert)
SETTING_UP = ("atexit.register",)


@pytest.mark.parametrize("path", [*sources.gui_files(), *sources.backend_files()], ids=sources.name_of)
def test_importing_a_file_defines_things_and_does_nothing(path):
    for node in sources.tree_of(path).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING"):
            continue
        doing = isinstance(node, RUNS) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            doing = ast.unparse(node.value.func) not in SETTING_UP
        assert not doing, f"{sources.name_of(path)}:{node.lineno} runs on import: {ast.unparse(node)[:80]}"
