"""The sentences of the panel, from what the backend reports. Plain text; no Qt, no MRML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError

from .run import State, Status

if TYPE_CHECKING:
    from MedAILib.models import ModelCard
    from MedAILib.pipeline.request import Request
    from MedAILib.summary import Summary

_SHOWN_WARNINGS = 6


def model_line(card: ModelCard) -> str:
    """The model in one or two sentences, for under its chooser."""
    what = _("{count} structures, {modality}, {anatomy}.").format(
        count=len(card.labels), modality="/".join(card.modality), anatomy=card.anatomy
    )
    tested = _("Tested: {figure}.").format(figure=card.measured[0]) if card.measured else _("Not measured yet.")
    return " ".join((what, tested, _("For research only.")))


def model_card(card: ModelCard, broken: Iterable[MedAIError] = ()) -> str:
    """The whole card, and why model folders that lie beside it cannot be used."""
    reasons = [str(error) for error in broken]
    lines = [card.text()]
    if reasons:
        lines += ["", _("Models that cannot be used:"), *reasons]
    return "\n".join(lines)


def other_modality(name: str, request: Request) -> str:
    """Asks whether a volume of another kind than the model was made for is to be segmented all the same."""
    card = request.card()
    values = {"name": name, "modality": request.modality, "model": card.title, "wanted": "/".join(card.modality)}
    if request.modality:
        fact = _("{name} is {modality}, but the model {model} was made for {wanted}.").format(**values)
    else:
        fact = _("{name} does not look like {wanted}, which the model {model} was made for.").format(**values)
    return "\n\n".join((fact + " " + _("What it finds there may be wrong throughout."), _("Segment it anyway?")))


def status_line(status: Status) -> str:
    """What the run is doing and for how long still."""
    texts = {
        State.IDLE: "",
        State.STARTING: status.stage or _("Reading the volume"),
        State.RUNNING: status.stage,
        State.CONCLUDING: _("Finishing with what there is"),
        State.CANCELLING: _("Cancelling"),
        State.IMPORTING: _("Bringing the result into the scene"),
    }
    text = texts[status.state]
    number, count = status.part
    if count > 1 and status.state in (State.STARTING, State.RUNNING):
        text = _("Frame {number} of {count}: {stage}").format(number=number, count=count, stage=text)
    if status.remaining is not None and status.state is State.RUNNING:
        text = _("{stage}, about {time} left").format(stage=text, time=duration(status.remaining))
    return with_warnings(text, status.warnings)


def duration(seconds: float) -> str:
    """A time that nobody reads to the second."""
    whole = max(1, round(seconds))
    if whole < 90:
        return _("{seconds} s").format(seconds=whole)
    if whole < 90 * 60:
        return _("{minutes} min").format(minutes=round(whole / 60))
    hours = whole / 3600
    return _("{hours} h").format(hours=f"{round(hours, 1 if hours < 10 else None):g}")


def with_warnings(text: str, warnings: Iterable[tuple[str, str]]) -> str:
    """The text with one line per warning below it; a long list is cut."""
    messages = [message for code, message in warnings]
    lines = [_("Warning: {message}").format(message=message) for message in messages[:_SHOWN_WARNINGS]]
    if len(messages) > _SHOWN_WARNINGS:
        lines.append(_("{count} more warnings are in the log.").format(count=len(messages) - _SHOWN_WARNINGS))
    return "\n".join([text, *lines] if text else lines)


def ended_line(summaries: Sequence[Any], single: str, **values: object) -> str:
    """How fast a run of any module was, and where.

    Args:
        summaries: one per frame, at least one.
        single: what to say of a single frame, with places for ``time``, ``device`` and the further values.
        values: for these places.
    """
    line = single if len(summaries) == 1 else _("Done: {frames} frames in {time} on {device}.")
    time = duration(sum(summary.seconds for summary in summaries))
    return line.format(frames=len(summaries), time=time, device=summaries[-1].device, **values)


def done_line(summaries: Sequence[Summary]) -> str:
    """How much was found, how fast and where."""
    single = _("Done: {count} structures in {time} on {device}.")
    return ended_line(summaries, single, count=len(summaries[-1].found))


def result_text(summaries: Sequence[Summary]) -> str:
    """Which model made a result, how sure it was, what it was tested on, and what the user must know about it.

    Args:
        summaries: one per frame, at least one.
    """
    first = summaries[0]
    lines = [_("Model {model} {version}, for research only.").format(model=first.model, version=first.version)]
    if first.finder:
        lines.append(_("Places found by {finder}.").format(finder=first.finder))
    sure = _sure([summary.confidence for summary in summaries])
    if sure:
        lines.append(sure)
    if first.tested_on:
        lines.append(_("Tested: {figures}.").format(figures="; ".join(first.tested_on)))
    if not any(summary.found for summary in summaries):
        lines.append(_("None of the model's structures was found."))
    elif len(summaries) == 1:
        lines.append(_("Volume of all structures: {volume} ml.").format(volume=_milliliters(first.total_ml)))
        if first.missing:
            lines.append(_("Not found: {names}.").format(names=", ".join(first.missing)))
    warnings = dict.fromkeys((warned.code, warned.message) for summary in summaries for warned in summary.warnings)
    return with_warnings("\n".join(lines), warnings)


def _milliliters(volume: float) -> str:
    return f"{volume:.0f}" if volume >= 10.0 else f"{volume:.2g}"


def _sure(confidences: Iterable[Mapping[str, float]]) -> str:
    known = [(value, name) for confidence in confidences for name, value in confidence.items() if value == value]
    if not known:
        return ""
    lowest, name = min(known)
    mean = sum(value for value, _name in known) / len(known)
    return _("How sure (the network's own probability): mean {mean} %, lowest {lowest} % in {name}.").format(
        mean=f"{100.0 * mean:.0f}", lowest=f"{100.0 * lowest:.0f}", name=name
    )
