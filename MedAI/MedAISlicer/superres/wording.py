"""The sentences of the MedAI Super Resolution panel."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from MedAILib.superres.methods import Method
from MedAILib.superres.summary import NOTICE, SuperresSummary

from ..wording import duration, ended_line, with_warnings
from .parameters import Baseline
from .slices import Found

Summaries = Sequence[SuperresSummary | None]

_SAME = 0.02
"""Thickness and distance that differ by less than this part count as equal."""


def found_text(found: Found, given: float | None) -> str:
    """What is known of the slices, and from where.

    Args:
        found: of the chosen volume.
        given: thickness in mm that the user gave, None if he gave none.
    """
    first, second = found.in_plane
    lines = [
        _("Slices every {increment} mm (from the grid), pixels {first} x {second} mm.").format(
            increment=_mm(found.increment), first=_mm(first), second=_mm(second)
        )
    ]
    thickness = given if given is not None else found.thickness
    if thickness is None:
        lines.append(_("Slice thickness: unknown; it will be estimated from the image."))
    else:
        source = _("from DICOM") if given is None else _("as given")
        lines.append(
            _("Slice thickness: {thickness} mm ({source}), {relation}.").format(
                thickness=_mm(thickness), source=source, relation=_relation(thickness, found.increment)
            )
        )
    if found.between is not None and abs(found.between - found.increment) > _SAME * found.increment:
        lines.append(
            _("DICOM says that the slices are {between} mm apart; the grid counts.").format(between=_mm(found.between))
        )
    return "\n".join(lines)


def baseline_name(baseline: Baseline) -> str:
    """One word for what a result is compared with."""
    return _("Cubic") if baseline is Baseline.CUBIC else _("Input")


def method_text(method: Method, automatic: bool, seconds: float | None, frames: int) -> str:
    """What a method does and how long it will take.

    Args:
        method: as it will be used.
        automatic: whether it was decided here.
        seconds: expected for one volume; None where that is not known, as for what takes seconds.
        frames: number of volumes.
    """
    time = _("a few seconds") if seconds is None else _("about {time}").format(time=duration(seconds))
    if frames > 1:
        expected = _("Expected time for each of {frames} frames: {time}.").format(frames=frames, time=time)
    else:
        expected = _("Expected time: {time}.").format(time=time)
    card = _("{title}. {card}").format(title=method.title, card=method.card) if automatic else method.card
    lines = [card, expected]
    if method.generative:
        lines.append(_("Generative: it makes up detail that may not be this patient's."))
    return "\n".join(lines)


def done_line(summaries: Sequence[SuperresSummary]) -> str:
    """How it went, how fast and where."""
    if summaries[-1].concluded:
        return ended_line(summaries, _("Finished early, after {time} on {device}."))
    return ended_line(summaries, _("Done in {time} on {device}."))


def result_text(summaries: Summaries) -> str:
    """What was computed, how well it explains what was measured, and what the user must know about it.

    Args:
        summaries: one per frame, None for a frame without result; at least one is there.
    """
    known = [summary for summary in summaries if summary is not None]
    first = known[0]
    lines = [
        _("{name}: {title}. {notice}.").format(name=first.image, title=first.title, notice=NOTICE),
        _("{before} mm to {after} mm.").format(before=_grid(first.spacing_before), after=_grid(first.spacing_after)),
        f"{first.acquisition}.",
    ]
    if len(summaries) > 1:
        lines.append(_("{done} of {count} frames computed.").format(done=len(known), count=len(summaries)))
    if first.others:
        lines.append(_("Together with {names}.").format(names=", ".join(first.others)))
    lines += _figures(first if len(known) == 1 else _worst(known))
    if any(summary.concluded for summary in known):
        lines.append(_("Ended early: this is what there was by then."))
    if first.generative:
        lines.append(_("Generative: detail was made up by a model and may not be this patient's."))
    lines += dict.fromkeys(note for summary in known for note in summary.notes)
    warnings = dict.fromkeys((warned.code, warned.message) for summary in known for warned in summary.warnings)
    return with_warnings("\n".join(lines), warnings)


def not_registered(message: str) -> str:
    """Offers to register the further volumes and to run again."""
    return "\n\n".join((message, _("Take this result back, register them first, and run again?")))


def _figures(summary: SuperresSummary) -> list[str]:
    lines = []
    if summary.consistency_db is not None:
        line = _("Agreement with the measured slices: {own} dB").format(own=f"{summary.consistency_db:.1f}")
        if summary.cubic_consistency_db is not None:
            line += _(" (cubic interpolation: {cubic} dB)").format(cubic=f"{summary.cubic_consistency_db:.1f}")
        lines.append(line + ".")
    if summary.uncertainty is not None:
        lines.append(
            _("Uncertainty (half width of the 90 % interval): {mean} in the mean, below {high} in 95 % of it.").format(
                mean=f"{summary.uncertainty.mean:.3g}", high=f"{summary.uncertainty.high:.3g}"
            )
        )
    return lines


def _worst(known: Sequence[SuperresSummary]) -> SuperresSummary:
    """The frame that explains its slices least."""
    return min(known, key=lambda one: float("inf") if one.consistency_db is None else one.consistency_db)


def _relation(thickness: float, increment: float) -> str:
    gap = increment - thickness
    if abs(gap) <= _SAME * increment:
        return _("without gap")
    if gap > 0:
        return _("with gaps of {gap} mm").format(gap=_mm(gap))
    return _("overlapping by {overlap} mm").format(overlap=_mm(-gap))


def _grid(spacing: tuple[float, float, float]) -> str:
    k, j, i = spacing
    return f"{_mm(i)} x {_mm(j)} x {_mm(k)}"


def _mm(value: float) -> str:
    return f"{value:.3g}"
