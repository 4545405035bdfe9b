"""Who is who: what a clip is under each unit that can be held out, and which ids are one thing under two names."""

from collections.abc import Iterable
from typing import Literal

from datasets.clips import Clip, tie

Unit = Literal["subject", "session", "sentence", "split", "clip"]


def canonical(text: str, unit: Unit) -> str:
    """Ids are compared without case and surrounding blanks: "S001" and "s001 " are one person. Clips go by name."""
    return text if unit == "clip" else text.strip().casefold()


def spelled(clip: Clip, unit: Unit) -> str:
    """The clip under a unit as the corpus writes it; empty where it says nothing."""
    if unit == "clip":
        return clip.name
    stated: str | None = getattr(clip, unit)
    return (stated or "").strip()


def value(clip: Clip, unit: Unit) -> str | None:
    """The clip under a unit, as compared; None where the corpus says nothing, and a blank says nothing."""
    return canonical(spelled(clip, unit), unit) or None


def traces(clip: Clip) -> set[str]:
    """What tells a sound or a picture apart: the recording that it comes from, and the media itself."""
    return {clip.recording or clip.name, clip.media.clip_id} - {""}


def aliases(clips: Iterable[Clip], unit: Unit) -> dict[str, str]:
    """Each value's representative: values that share a recording, or a chain of them, are one under two ids.

    A clip without a value stands for itself, so that a chain may pass through it.
    """
    first: dict[str, str] = {}
    own = ((value(clip, unit) or f"\0{clip.name}", clip) for clip in clips)
    return tie((stated, first.setdefault(trace, stated)) for stated, clip in own for trace in traces(clip))
