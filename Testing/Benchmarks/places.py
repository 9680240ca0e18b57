"""Whole heads for a model of crops: ``python Testing/Benchmarks/places.py``.

Another model finds the places (see ``places`` in a model's card). Each labeled scan of ``../shared/data/brain`` is
segmented from file to file in a fresh process, and all that was found at a place is compared with FreeSurfer's label of
that name, beside what the finding model alone makes of it. ``--card`` writes the figures into the model's card.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy import CASES, SHARED
from networks_score import METRICS, TOLERANCE, scoring
from processes import Cost, adopt_orphans, processor, run_alone

from MedAILib.files import read_image
from MedAILib.image import Kind
from MedAILib.labels import Label
from MedAILib.models import ModelCard, find_model
from MedAILib.models.card import CARD_NAME

COMMAND = "python Testing/Benchmarks/places.py --card"
WORDS = dict(zip(METRICS, ("Dice", "HD95, mm", f"surface Dice at {TOLERANCE:g} mm"), strict=True))


@dataclass(frozen=True)
class Row:
    """What one model made of one place.

    Attributes:
        model, place: names.
        figures: of :data:`METRICS`.
        found, true: ml.
        inside: the share of what was found that the truth has, too.
        cost: of the whole run, the same for all places of a scan.
    """

    model: str
    place: str
    figures: dict[str, float]
    found: float
    true: float
    inside: float
    cost: Cost


def rows(scan: str, truth: str, model: str, places: list[Label]) -> Iterator[Row]:
    """Segment one scan; a place's structures are all that have its modifier, or its own name."""
    folder = SHARED / "data" / "brain"
    expected = read_image(folder / truth, Kind.LABEL)
    names = {place.name for place in places}
    with tempfile.TemporaryDirectory() as name:
        result, log = Path(name, "result.nii.gz"), Path(name, "log.txt")
        line = ["segment", str(folder / scan), "--model", model, "-o", str(result), "--device", "cpu", "--json"]
        cost = run_alone([sys.executable, "-m", "MedAILib", *line], result, log)
        account = log.read_text(encoding="utf-8").strip().splitlines()[-1]
        table = [Label.from_json(label) for label in json.loads(account)["table"]]
        found = read_image(result, Kind.LABEL)
    own = [label for label in table if label.name in names] or table
    voxel = float(found.spacing[0] * found.spacing[1] * found.spacing[2]) / 1000.0
    for place in places:
        values = [label.value for label in own if label.modifier == place.modifier]
        mask, target = sum(found.array == value for value in values) > 0, expected.array == place.value
        score = scoring().score_label(target, mask, found.spacing, TOLERANCE)
        figures = {metric: float(score.get(metric, float("nan"))) for metric in METRICS}
        inside = float(target[mask].mean()) if mask.any() else float("nan")
        yield Row(model, place.name, figures, mask.sum() * voxel, target.sum() * voxel, inside, cost)


def write_card(card: ModelCard, measured: dict[str, list[Row]]) -> None:
    """Put the means over the places into the card, in the place of earlier ones."""
    file = card.folder / CARD_NAME
    fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    fresh = []
    for name, of_scan in measured.items():
        own = [row for row in of_scan if row.model == card.name]
        for metric, words in WORDS.items():
            value = round(statistics.fmean(row.figures[metric] for row in own), 4)
            what = f"mean {words}, each place as a whole against FreeSurfer's label"
            fresh.append({"dataset": f"{name}, the whole head", "metric": what, "value": value, "command": COMMAND})
    fields["measured"] = fresh + [one for one in fields["measured"] if one["command"] != COMMAND]
    file.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="hippocampus-mr", help="name of a model whose card has places")
    parser.add_argument("--card", action="store_true", help="write the figures into the model's card")
    options = parser.parse_args()
    card = find_model(options.model)
    if card.places is None:
        parser.error(f"The card of {card.name} has no places.")
    if not SHARED.is_dir():
        print(f"The labeled scans are not there: {SHARED.name} is missing beside the repository.", file=sys.stderr)
        return 3
    adopt_orphans()
    finder = find_model(card.places.model)
    places = [label for label in finder.labels if label.name in card.places.labels]
    print(f"{processor()}; CPU seconds and peak memory of the whole run, from file to file.\n")
    print(f"| scan | place | model | {' | '.join(WORDS.values())} | ml found | ml true | % inside | CPU s | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    measured: dict[str, list[Row]] = {}
    for name, (scan, truth) in CASES.items():
        measured[name] = []
        for model in (card.name, finder.name):
            for row in rows(scan, truth, model, places):
                measured[name].append(row)
                figures = [f"{row.figures['dice']:.4f}", f"{row.figures['hd95']:.2f}"]
                figures += [
                    f"{row.figures['surface_dice']:.3f}",
                    f"{row.found:.2f}",
                    f"{row.true:.2f}",
                    f"{100 * row.inside:.0f}",
                ]
                figures += [f"{row.cost.cpu:.1f}", f"{row.cost.peak:.0f}"]
                print(f"| {name} | {row.place} | {row.model} | {' | '.join(figures)} |", flush=True)
    if options.card:
        write_card(card, measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
