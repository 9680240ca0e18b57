"""What the extension catalogue checks before it lists an extension."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from skimage.io import imread

from cmake_lists import MODULES
from sources import REPOSITORY

ENTRY = json.loads((REPOSITORY / "MedAI.json").read_text(encoding="utf-8"))
CMAKE = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
META = dict(re.findall(r'^set\((EXTENSION_[A-Z]+) "([^"\n]+)"\)$', CMAKE, re.MULTILINE))

# Slicer's schema of a catalogue entry, version 1.0.1: field to type; nothing else is allowed.
FIELDS = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}


def test_the_entry_has_the_required_fields_and_no_unknown_ones():
    assert {"$schema", "category", "scm_url"} <= set(ENTRY) <= set(FIELDS)
    for field, value in ENTRY.items():
        assert isinstance(value, FIELDS[field]), field
    assert ENTRY["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert ENTRY["tier"] in (1, 3, 5)
    assert ENTRY["scm_type"] == "git"


def test_the_entry_names_the_repository_category_and_dependency():
    assert ENTRY["scm_url"].startswith("https://")
    assert ENTRY["scm_url"].rsplit("/", 1)[-1].startswith("Slicer")
    assert ENTRY["category"] == META["EXTENSION_CATEGORY"] == "Segmentation"
    assert ENTRY["build_dependencies"] == META["EXTENSION_DEPENDS"].split() == ["PyTorch"]


def test_the_project_is_named_like_the_entry():
    assert re.search(r"^project\(MedAI\)$", CMAKE, re.MULTILINE)


def test_each_extension_property_stands_on_one_line():
    assert set(META) == {
        f"EXTENSION_{name}"
        for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS")
    }
    assert len(re.findall(r"set\(EXTENSION_", CMAKE)) == len(META)


def test_the_contributors_have_a_name_and_an_organization():
    for contributor in META["EXTENSION_CONTRIBUTORS"].split(","):
        assert re.fullmatch(r"\s*\w+ [\w ]+ \([^()]+\)", contributor)


def test_the_cmake_end_generates_the_configuration_and_the_package():
    last = [line for line in CMAKE.splitlines() if line.startswith("include(")]
    assert last == [
        "include(${Slicer_USE_FILE})",
        "include(${Slicer_EXTENSION_GENERATE_CONFIG})",
        "include(${Slicer_EXTENSION_CPACK})",
    ]


def test_icon_and_screenshots_are_urls_of_images_in_this_repository():
    urls = [META["EXTENSION_ICONURL"], *META["EXTENSION_SCREENSHOTURLS"].split(" ")]
    base = ENTRY["scm_url"].replace("https://github.com/", "https://raw.githubusercontent.com/")
    for url in urls:
        assert url.startswith(f"{base}/{ENTRY['scm_revision']}/") and "&" not in url and "?" not in url
        image = REPOSITORY / url.removeprefix(f"{base}/{ENTRY['scm_revision']}/")
        assert image.suffix == ".png" and image.is_file(), url
        assert min(imread(image).shape[:2]) >= 128


def test_the_extension_icon_has_the_catalogue_size():
    assert imread(REPOSITORY / "Resources" / "Icons" / "MedAI.png").shape == (128, 128, 4)


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_a_square_icon(module):
    root = ElementTree.parse(REPOSITORY / module / "Resources" / "Icons" / f"{module}.svg").getroot()
    assert (root.get("width"), root.get("height")) == ("128", "128")
    assert not [node.tag for node in root.iter() if node.tag.endswith(("script", "image"))]


def test_the_license_is_apache_2():
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
