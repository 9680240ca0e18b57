"""What the README tells people to type exists."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache

import pytest

import MedAILib
from MedAILib import errors
from sources import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def shell_commands(program):
    """The argument lists of all commands of the README's shell blocks that call the program."""
    found = []
    for language, block in BLOCKS:
        if language in ("sh", "bash", "shell"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] == program:
                    found.append(words[1:])
    return found


@cache
def help_of(*words):
    done = subprocess.run(
        [sys.executable, "-m", "MedAILib", *words, "--help"],
        cwd=REPOSITORY / "MedAI",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_make_target_exists():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    commands = shell_commands("make")
    assert {"demo", "test"} <= {words[0] for words in commands if words}
    for words in commands:
        for target in words:
            assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_medai_command_and_option_exists():
    commands = shell_commands("medai")
    assert commands
    for words in commands:
        group = words[:2] if words[0] == "models" else words[:1]
        text = help_of(*group)
        for word in words:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(word.split('=')[0])}(?![\w-])", text), (
                    f"medai {' '.join(words)}"
                )


@pytest.mark.parametrize("program", ["python", "torchrun"])
def test_every_script_that_is_run_exists(program):
    for words in shell_commands(program):
        for word in words:
            if word.endswith(".py"):
                assert (REPOSITORY / word).is_file(), word


def test_every_python_example_is_python_and_uses_names_that_exist():
    examples = [block for language, block in BLOCKS if language == "python"]
    assert examples
    for example in examples:
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "MedAILib":
                assert hasattr(MedAILib, node.attr), node.attr


def test_every_link_and_picture_of_the_repository_exists():
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README) + re.findall(r'(?:src|href)="([^"#]+)"', README)
    for target in targets:
        if not target.startswith(("http://", "https://")):
            assert (REPOSITORY / target).exists(), target


def test_every_exit_status_is_in_the_table_and_in_the_help():
    text = help_of()
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.MedAIError):
            assert f"| {error.exit_status} |" in README, error.__name__
            assert re.search(rf"(^|\s){error.exit_status} [a-z]", text), error.__name__
