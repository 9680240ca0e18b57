"""Limits and habits that hold for the whole repository."""

from __future__ import annotations

import fnmatch
import re
import subprocess

import pytest

from sources import BACKEND, REPOSITORY, backend_files, name_of

LARGEST_MB = 100
LONGEST_FILE = 500
FOLDERS = ("MedAI", "MedAIRegistration", "MedAISuperRes", "Testing")


def project_files():
    """Tracked files and those about to be."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this copy is no git checkout, so built and own files cannot be told apart")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := REPOSITORY / name).is_file()]


def test_the_repository_stays_below_the_catalogue_limit():
    assert sum(path.stat().st_size for path in project_files()) < LARGEST_MB * 1e6


def test_no_python_file_is_too_long_to_read():
    long = {}
    for folder in FOLDERS:
        for path in (REPOSITORY / folder).rglob("*.py"):
            lines = path.read_text(encoding="utf-8").count("\n")
            if lines > LONGEST_FILE:
                long[name_of(path)] = lines
    assert long == {}


def test_no_text_names_a_folder_of_somebodys_computer():
    pattern = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w+")
    found = []
    for path in project_files():
        if path.suffix in (".py", ".md", ".toml", ".txt", ".json", ".ui", ".svg", "") and pattern.search(
            path.read_text(encoding="utf-8", errors="replace")
        ):
            found.append(name_of(path))
    assert found == []


def pyproject():
    """The parsed pyproject.toml; Python 3.10 has no parser of its own, pytest brings one there."""
    try:
        import tomllib
    except ImportError:
        import tomli as tomllib
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def distribution(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def test_every_direct_dependency_has_a_pinned_version():
    project = pyproject()["project"]
    wanted = [
        *project["dependencies"],
        *(entry for group in project["optional-dependencies"].values() for entry in group),
    ]
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {distribution(line) for line in lines if "==" in line}
    assert {distribution(entry) for entry in wanted} - pinned == set()


def test_slicer_is_asked_for_the_same_packages_as_pip_but_never_for_its_own():
    listed = (REPOSITORY / "MedAI" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [line for line in listed if line and not line.startswith("#")]
    wanted = pyproject()["project"]["dependencies"]
    assert set(asked) <= set(wanted)
    own = {"torch", "numpy", "simpleitk", "vtk"}
    assert {distribution(entry) for entry in wanted} - {distribution(entry) for entry in asked} == own
    assert not any("==" in line for line in asked)


def test_an_installed_wheel_has_every_file_of_the_backend():
    patterns = pyproject()["tool"]["setuptools"]["package-data"]["*"]
    for path in BACKEND.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns), name_of(path)
            assert "." not in path.parent.name, f"{name_of(path.parent)}: setuptools leaves out folders with a dot"


def test_every_folder_of_the_backend_with_python_files_is_a_package():
    for folder in {path.parent for path in backend_files()}:
        assert (folder / "__init__.py").is_file(), name_of(folder)


def test_the_shell_command_exists():
    (target,) = pyproject()["project"]["scripts"].values()
    module, function = target.split(":")
    text = (REPOSITORY / "MedAI" / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    assert re.search(rf"^def {function}\(", text, re.MULTILINE)
