"""The sentences of the MedAI Registration panel. Plain text; no Qt, no MRML."""

from __future__ import annotations

import math
from collections.abc import Sequence

from slicer.i18n import tr as _

from MedAILib.registration.summary import Change, RegistrationSummary

from ..wording import ended_line, with_warnings

Summaries = Sequence[RegistrationSummary | None]


def done_line(summaries: Sequence[RegistrationSummary]) -> str:
    """How it went, how fast and where."""
    if summaries[-1].kept_start:
        return ended_line(summaries, _("The start was kept, after {time} on {device}."))
    return ended_line(summaries, _("Done in {time} on {device}."))


def result_text(summaries: Summaries) -> str:
    """How good a result is, and what the user must know about it.

    Args:
        summaries: one per frame, None for a frame without result; at least one is there.
    """
    known = [summary for summary in summaries if summary is not None]
    first = known[0]
    lines = [
        _("{moving} to {fixed}: {kind}, {preset}. For research only.").format(
            moving=first.moving, fixed=first.fixed, kind=kind_name(first.kind), preset=first.preset
        )
    ]
    if len(summaries) == 1:
        lines += _one(first)
    else:
        lines += _many(known, len(summaries))
    warnings = dict.fromkeys((warned.code, warned.message) for summary in known for warned in summary.warnings)
    return with_warnings("\n".join(lines), warnings)


def kind_name(kind: str) -> str:
    """A kind of registration in the user's words."""
    return {
        "rigid": _("rigid"),
        "similarity": _("similarity"),
        "affine": _("affine"),
        "deformable": _("deformable"),
    }.get(kind, kind)


def contrast_line(summary: RegistrationSummary) -> str:
    """Which contrast was taken, and why."""
    what = _("same") if summary.contrast == "same" else _("different")
    return _("Contrast: {what}. {reason}").format(what=what, reason=summary.contrast_reason)


def _one(summary: RegistrationSummary) -> list[str]:
    lines = [
        contrast_line(summary),
        _("Similarity ({measure}): {change}.").format(measure=summary.measure, change=_change(summary.similarity, 3)),
    ]
    if summary.dice is not None:
        lines.append(
            _("Dice of {count} structures: {change}.").format(
                count=len(summary.structures), change=_change(summary.dice, 3)
            )
        )
    if summary.hd95_mm is not None:
        lines.append(_("HD95: {change} mm.").format(change=_change(summary.hd95_mm, 1)))
    if summary.landmark_mm is not None:
        lines.append(_("Landmark error: {change} mm.").format(change=_change(summary.landmark_mm, 1)))
    if summary.deformable:
        lines.append(
            _("Folds: {folds} %. There and back again misses by {mean} mm in the mean, {most} mm at most.").format(
                folds=f"{summary.folds_percent:.3g}",
                mean=f"{summary.inverse_mean_mm:.2g}",
                most=f"{summary.inverse_max_mm:.2g}",
            )
        )
    return lines


def _many(known: Sequence[RegistrationSummary], count: int) -> list[str]:
    lines = [_("{done} of {count} frames registered.").format(done=len(known), count=count)]
    kept = sum(summary.kept_start for summary in known)
    if kept:
        lines.append(_("In {kept} of them the start was better than the result and was kept.").format(kept=kept))
    before = [summary.similarity.before for summary in known]
    after = [summary.similarity.after for summary in known]
    mean = Change(sum(before) / len(before), sum(after) / len(after))
    lines.append(_("Similarity ({measure}), mean: {change}.").format(measure=known[0].measure, change=_change(mean, 3)))
    worst = max(summary.folds_percent for summary in known)
    if known[0].deformable:
        lines.append(_("Folds: {folds} % in the worst frame.").format(folds=f"{worst:.3g}"))
    return lines


def _change(change: Change, digits: int) -> str:
    return _("{before} before, {after} after").format(
        before=_number(change.before, digits), after=_number(change.after, digits)
    )


def _number(value: float, digits: int) -> str:
    return _("unknown") if math.isnan(value) else f"{value:.{digits}f}"
