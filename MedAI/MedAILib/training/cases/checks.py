"""Is this folder fit to train on? Everything that is wrong is told at once. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...checks import HUGE, check_grid
from ...errors import ContentError, GeometryError, MedAIError
from ...files.label_maps import made_up_label
from ...image import Image
from ...labels import Label
from .folder import CaseFiles, CaseFolder, find_cases
from .names import channel_names, label_table, modality_of
from .reading import read_case_image, read_case_labels, same_grid
from .report import CaseFacts, Problem, Report

FEWEST_CASES = 2
MOST_VALUES = 255
"""Labels of a folder; more are counted voxels or intensities."""
_FEW = 3
"""A class that fewer cases have is learned badly."""
_SAMPLE = 2000
_AIR_HU = -500.0


def check_cases(
    folder: str | Path,
    progress: Callable[[float], None] = lambda share: None,
    instances: bool = False,
    subsets: bool = False,
) -> Report:
    """Look at every case of a folder.

    Args:
        folder: see :func:`find_cases`.
        progress: called with the done share; what it raises ends the check.
        instances: values of the label maps are single objects; they are taken for one class.
        subsets: a case may lack some of the channels, because the network can do without.

    Returns:
        The report, with all problems. Cases with an error are not among its facts.

    Raises:
        ReadError: there is no labeled case at all, or a file with names cannot be understood.
    """
    found = find_cases(folder)
    problems = list(found.problems)
    facts: list[CaseFacts] = []
    named: dict[int, Label] = {}
    for number, files in enumerate(found.cases):
        progress(number / len(found.cases))
        try:
            one, own, warned = _look_at(files)
        except MedAIError as error:
            problems.append(Problem(files.name, f"{files.name}: {_sentence(error)}"))
            continue
        if instances and one.voxels:
            one, own = replace(one, voxels={1: sum(one.voxels.values())}), []
        facts.append(one)
        problems += warned
        problems += _contradictions(files.name, own, named)
    progress(1.0)
    values = sorted({value for one in facts for value in one.voxels})
    if len(values) > MOST_VALUES:
        problems.append(Problem("", f"The label maps hold {len(values)} different values; are they label maps?"))
        values = values[:MOST_VALUES]
    table, is_named = _table(found, values, named)
    if instances and not is_named:
        table = tuple(replace(label, name="object") for label in table)
    problems += _across(facts, table, values, is_named)
    problems += [] if subsets else _incomplete(facts)
    occurring = tuple(label for label in table if label.value in values)
    inputs = channel_names(found, facts[0].channels if facts else 0)
    return Report(str(folder), tuple(facts), occurring, tuple(problems), inputs, modality_of(found))


def _look_at(files: CaseFiles) -> tuple[CaseFacts, list[Label], list[Problem]]:
    """Facts, named labels and warnings of one case; raises MedAIError."""
    image = read_case_image(files)
    labels, table = read_case_labels(files)
    check_grid(image, slice_allowed=True)
    if labels.array.shape != image.shape:
        raise GeometryError(f"{_size(labels)} in the label map, but {_size(image)} in the image.")
    if not same_grid(image, labels):
        raise GeometryError("image and label map have equally many voxels, but do not lie at the same place.")
    if int(labels.array.min()) < 0:
        raise ContentError(f"the label map holds the negative value {int(labels.array.min())}.")
    warned = []
    missing = tuple(number for number, file in enumerate(files.images) if file is None)
    there = np.delete(image.array, missing, axis=0)
    bad = int((~(np.abs(there) <= HUGE)).sum())
    if bad == there.size:
        raise ContentError("the image has no finite value.")
    if bad:
        share = 100.0 * bad / there.size
        text = f"{files.name}: {bad} voxels ({share:.2g} %) are NaN or infinite; they are taken as the lowest value."
        warned.append(Problem(files.name, text, False))
    for number, channel in enumerate(image.array):
        if number not in missing and np.nanmin(channel) == np.nanmax(channel):
            which = f"channel {number} of " if len(image.array) > 1 else ""
            raise ContentError(f"{which}the image is constant: every voxel is {float(channel.flat[0]):g}.")
    counts = np.bincount(labels.array.ravel()) if int(labels.array.max()) < 1 << 20 else np.zeros(0)
    if not len(counts):
        raise ContentError(f"the label map holds the value {int(labels.array.max())}; is it a label map?")
    voxels = {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value}
    if not voxels:
        warned.append(Problem(files.name, f"{files.name}: the label map is empty.", False))
    return replace(_facts(files.name, image, labels, voxels), missing=missing), table, warned


def _facts(name: str, image: Image, labels: Image, voxels: dict[int, int]) -> CaseFacts:
    inside = labels.array > 0
    samples = []
    for channel in image.array:
        values = channel[inside]
        values = values[np.isfinite(values)]
        samples.append(tuple(float(one) for one in values[:: max(1, len(values) // _SAMPLE)]))
    thin = image.array[:, :, ::2, ::2]
    ct = len(image.array) == 1 and bool((thin <= _AIR_HU).mean() >= 0.01)
    empty = float(((thin == 0) | np.isnan(thin)).all(0).mean())
    shape, spacing = image.shape, image.spacing
    return CaseFacts(name, shape, spacing, image.codes, len(image.array), voxels, tuple(samples), ct, empty)


def _sentence(error: MedAIError) -> str:
    return str(error).partition("\n")[0]


def _size(image: Image) -> str:
    k, j, i = image.shape
    return f"{i} x {j} x {k} voxels"


def _contradictions(name: str, table: list[Label], named: dict[int, Label]) -> list[Problem]:
    """Segmentation files that call the same value differently; what is new is added to ``named``."""
    problems = []
    for label in table:
        known = named.setdefault(label.value, label)
        if known.name != label.name:
            text = f"{name}: the value {label.value} is {label.name!r}, in earlier cases {known.name!r}."
            problems.append(Problem(name, f"{text} Export all with the same values."))
    return problems


def _table(found: CaseFolder, values: list[int], named: dict[int, Label]) -> tuple[tuple[Label, ...], bool]:
    table, is_named = label_table(found, values)
    if is_named or not named:
        return table, is_named
    return tuple(named.get(value, made_up_label(value)) for value in values), True


def _across(facts: list[CaseFacts], table: tuple[Label, ...], values: list[int], is_named: bool) -> list[Problem]:
    """What only shows when all cases are compared."""
    problems = []
    if len(facts) < FEWEST_CASES:
        count = "no case" if not facts else "only one case"
        text = f"There is {count} that can be used; at least {FEWEST_CASES} are needed: one to train on, one to check."
        problems.append(Problem("", text))
    channels = Counter(one.channels for one in facts)
    if len(channels) > 1:
        usual = channels.most_common(1)[0][0]
        problems += [
            Problem(one.name, f"{one.name}: has {one.channels} channels, most cases have {usual}.")
            for one in facts
            if one.channels != usual
        ]
    if facts and not values:
        problems.append(Problem("", "All label maps are empty; there is nothing to learn."))
    for label in table:
        having = [one for one in facts if label.value in one.voxels]
        if not having:
            text = f"{label.name} ({label.value}) occurs in no label map; it is left out."
            problems.append(Problem("", text, False))
        elif len(having) == 1 and len(facts) > 1:
            text = f"{label.name} ({label.value}) is only in {having[0].name}; its result cannot be checked."
            problems.append(Problem(having[0].name, text, False))
        elif len(having) < min(_FEW, len(facts)):
            text = f"{label.name} ({label.value}) is in only {len(having)} of {len(facts)} cases."
            problems.append(Problem("", text, False))
    if is_named:
        problems += _unnamed(facts, table)
    if len({one.ct for one in facts}) > 1:
        some = next(one.name for one in facts if one.ct)
        problems.append(Problem("", f"Some images look like CT ({some}), others do not.", False))
    return problems


def _incomplete(facts: list[CaseFacts]) -> list[Problem]:
    return [
        Problem(one.name, f"{one.name}: lacks the channel {', '.join(f'_{number:04d}' for number in one.missing)}.")
        for one in facts
        if one.missing
    ]


def _unnamed(facts: list[CaseFacts], table: tuple[Label, ...]) -> list[Problem]:
    """Values that the folder's names do not know: labels.json and the like name all, or something is wrong."""
    problems = []
    for label in table:
        having = [one.name for one in facts if label.value in one.voxels]
        if having and label.name == f"Label {label.value}":
            text = f"The value {label.value} has no name, e.g. in {having[0]}; it is trained on as a class of its own."
            problems.append(Problem(having[0], text, False))
    return problems
