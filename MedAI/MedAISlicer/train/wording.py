"""The sentences of the tab Train. Plain text; no Qt, no MRML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from MedAILib.training.cases.choices import Choice

from ..run import State, Status
from ..wording import duration, with_warnings
from .run import Report, Trained

_SHOWN_CLASSES = 6


def network_line(choice: Choice) -> str:
    """What a network costs and how good it was, for under its chooser."""
    return " ".join(part for part in (choice.description, figures_line(choice)) if part)


def figures_line(choice: Choice) -> str:
    """A network's row of the benchmark's table."""
    figures, dice = choice.figures, choice.dice
    if dice is None:
        return _("Not measured yet.")
    return _(
        "Measured on {data}: Dice {dice}, {parameters} million parameters, trained in {training}, {inference} s a case "
        "on one processor core."
    ).format(
        data=choice.data,
        dice=f"{dice:.3f}",
        parameters=f"{figures['parameters'] / 1e6:.2g}",
        training=duration(figures["training_s"]),
        inference=f"{figures['inference_s']:.2g}",
    )


def report_text(report: Report) -> str:
    """What was found in the cases."""
    facts = report.facts
    lines = []
    if facts.get("cases"):
        lines.append(_("{count} cases can be used.").format(count=facts["cases"]))
    lines += [
        _("{name}: in {count} cases, median {volume} ml.").format(
            name=one["name"], count=one["cases"], volume=f"{one['ml']:.3g}"
        )
        for one in facts.get("classes", [])[:_SHOWN_CLASSES]
    ]
    further = len(facts.get("classes", [])) - _SHOWN_CLASSES
    if further > 0:
        lines.append(_("And {count} more structures.").format(count=further))
    errors = [_("Error: {message}").format(message=problem.message) for problem in report.fatal]
    shown = errors[:_SHOWN_CLASSES]
    if len(errors) > len(shown):
        shown.append(_("And {count} more errors.").format(count=len(errors) - len(shown)))
    notes = [("", problem.message) for problem in report.problems if not problem.fatal]
    if not errors:
        lines.append(_plan_line(facts) or _("Nothing stands in the way of a training."))
    return with_warnings("\n".join([*lines, *shown]), notes)


def _plan_line(facts: Mapping[str, Any]) -> str:
    """What was planned for the cases; empty where that is not known."""
    if "spacing" not in facts:
        return ""
    size, patch = (reversed(facts[name]) for name in ("spacing", "patch"))
    return _("Planned: voxels of {size} mm, patches of {patch}; {trained} cases to train on, {held} to check.").format(
        size=" x ".join(f"{side:.3g}" for side in size),
        patch=" x ".join(str(side) for side in patch),
        trained=facts["training"],
        held=facts["validation"],
    )


def status_line(status: Status) -> str:
    """What the run is doing and for how long still."""
    number, count = status.part
    if count > 1 and number < count and status.state in (State.STARTING, State.RUNNING):
        text = _("Writing case {number} of {count}").format(number=number, count=count - 1)
        return with_warnings(text, status.warnings)
    texts = {
        State.IDLE: "",
        State.STARTING: status.stage or _("Getting ready"),
        State.RUNNING: status.stage,
        State.CONCLUDING: _("Finishing: the model is checked and saved"),
        State.CANCELLING: _("Saving the state"),
        State.IMPORTING: _("Done"),
    }
    text = texts[status.state]
    if status.remaining is not None and status.state is State.RUNNING:
        text = _("{stage}, about {time} left").format(stage=text, time=duration(status.remaining))
    return with_warnings(text, status.warnings)


def paused_line(run: Mapping[str, Any]) -> str:
    """An unfinished training that can go on."""
    return _("The training {name} is not finished. Resume goes on with it; another name begins a new one.").format(
        name=run.get("title") or run.get("name", "")
    )


def ended_line(trained: Trained) -> str:
    """How a training ended well."""
    dice = trained.dice
    if not trained.model:
        text = _("Only {steps} steps were done, too few for a model. Choose more time.")
        return text.format(steps=trained.steps)
    line = _("Done: the model {name} was trained for {time} ({steps} steps). It is chosen in the tab Auto.").format(
        name=trained.model, time=duration(trained.seconds), steps=trained.steps
    )
    if not dice:
        return line
    return line + " " + _("Validation cases: {figures}.").format(figures=dice_text(dice))


def figures_text(loss: float | None, dice: Mapping[str, float]) -> str:
    """The last figures of the curves.

    Args:
        loss: of the training, if there is one.
        dice: class name to Dice; the mean is under "".
    """
    parts = [_("Loss {loss}.").format(loss=f"{loss:.3g}")] if loss is not None else []
    if dice:
        parts.append(_("Validation cases: {figures}.").format(figures=dice_text(dice)))
    return " ".join(parts)


def dice_text(dice: Mapping[str, float]) -> str:
    """The mean and each structure, as far as there is room."""
    named = [f"{name} {value:.3f}" for name, value in dice.items() if name][:_SHOWN_CLASSES]
    values = [value for name, value in dice.items() if name] or list(dice.values())
    mean = sum(values) / len(values)
    text = _("Dice {mean}").format(mean=f"{mean:.3f}")
    return f"{text} ({', '.join(named)})" if named else text
