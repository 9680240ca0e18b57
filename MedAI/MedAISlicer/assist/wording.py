"""The sentences of AI assist. Plain text; no Qt, no MRML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError

if TYPE_CHECKING:
    from .writing import Written


def engine_title(name: str) -> str:
    """What an engine is called."""
    titles = {"auto": _("Automatic"), "online": _("Learn from my strokes"), "network": _("Network")}
    return titles.get(name, _("Learn from my strokes, with the network"))


def answered(segment: str, answer: Any, grown_ml: float, refined: bool) -> str:
    """Who answered, how long it took and what it did."""
    what = _("boundary refined") if refined else engine_title(answer.engine)
    took = _("{seconds} s").format(seconds=f"{answer.seconds:.1f}")
    place = _("{time} on {device}").format(time=took, device=answer.device) if answer.device else took
    line = _("{segment}: {what}, {place}.").format(segment=segment, what=what, place=place)
    return f"{line} {_('Volume {change} ml.').format(change=f'{grown_ml:+.2f}')}"


def preview(answer: Any, notes: Iterable[str]) -> str:
    """Asks for the user's consent."""
    return with_notes(
        _("This is the answer. Accept it, discard it, or go on with another prompt."), [*notes, *answer.notes]
    )


def left(written: Written) -> list[str]:
    """What was not changed although the answer said so."""
    notes = []
    if written.kept:
        notes.append(
            _(
                "{count} voxels belong to other segments and were left to them; "
                "Overwrite other segments, under Advanced, takes them."
            ).format(count=written.kept)
        )
    if written.masked:
        notes.append(_("The masking settings kept {count} voxels as they were.").format(count=written.masked))
    return notes


def with_notes(line: str, notes: Iterable[str]) -> str:
    """The line with one line for each different note."""
    return "\n".join([line, *dict.fromkeys(note for note in notes if note)])


def outside(volume: str) -> str:
    """A prompt that hits nothing."""
    return _("That is outside of {volume}. Draw on the volume that is segmented.").format(volume=volume)


def elsewhere(count: int) -> str:
    """Prompts that are not asked for; empty for none."""
    if not count:
        return ""
    return _("{count} prompts of this segment lie outside of this volume and do not count here.").format(count=count)


def gone(reason: str) -> str:
    """A node went away while an answer was computed."""
    return _("{reason} The last prompt was dropped.").format(reason=reason)


def changed(name: str) -> str:
    """A node was changed while an answer was computed."""
    return _("{name} was changed meanwhile, so the answer was computed anew.").format(name=name)


def worker_ended() -> str:
    """The worker was ended from outside, or crashed."""
    return _("The worker process ended and was started anew; it was told all prompts again.")


def left_effect() -> str:
    """The user went on to another effect while an answer was computed."""
    return _("The last prompt was not answered, because the effect was left.")


def sentence(error: MedAIError) -> str:
    """An error without the log that may follow its message."""
    return str(error).split("\n", maxsplit=1)[0]


def unexpected(error: BaseException) -> str:
    """A bug."""
    return _("An unexpected error ended the answer ({kind}: {error}).").format(kind=type(error).__name__, error=error)
