"""Slicer installs what the CMakeLists.txt name, no more and no less."""

from __future__ import annotations

import pytest

import cmake_lists


@pytest.mark.parametrize("module", cmake_lists.MODULES)
def test_the_lists_of_each_module_equal_its_files(module):
    text = (cmake_lists.REPOSITORY / module / "CMakeLists.txt").read_text(encoding="utf-8")
    assert cmake_lists.listed_in(text) == cmake_lists.files_of(module), "run `make cmake-lists`"


@pytest.mark.parametrize("module", cmake_lists.MODULES)
def test_each_module_is_built_with_its_tests_and_has_its_main_file(module):
    text = (cmake_lists.REPOSITORY / module / "CMakeLists.txt").read_text(encoding="utf-8")
    for part in (
        f"set(MODULE_NAME {module})",
        "slicerMacroBuildScriptedModule(",
        "WITH_GENERIC_TESTS",
        "slicer_add_python_unittest(SCRIPT ${MODULE_NAME}.py)",
    ):
        assert part in text
    assert f"{module}.py" in cmake_lists.listed_in(text)[cmake_lists.SCRIPTS]


def test_the_extension_builds_every_module():
    text = (cmake_lists.REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    for module in cmake_lists.MODULES:
        assert f"add_subdirectory({module})" in text


def test_no_two_modules_install_a_file_to_the_same_place():
    everything = [
        entry
        for module in cmake_lists.MODULES
        for entries in cmake_lists.files_of(module).values()
        for entry in entries
    ]
    assert len(everything) == len(set(everything))


def test_rewriting_replaces_both_lists_and_nothing_else():
    before = "# head\nset(MODULE_PYTHON_SCRIPTS\n  old.py\n  )\nset(MODULE_PYTHON_RESOURCES\n  )\n# tail (kept)\n"
    lists = {cmake_lists.SCRIPTS: ["a.py", "b/c.py"], cmake_lists.RESOURCES: ["x.ui"]}
    after = cmake_lists.with_lists(before, lists)
    assert cmake_lists.listed_in(after) == lists
    assert after.startswith("# head\n") and after.endswith("# tail (kept)\n")
