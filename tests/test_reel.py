"""Parts of a film, decoded once for all, beside what each part shows alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import reel
from datasets.clips import DatasetError, Media, MediaError, Track
from datasets.loose import Loose, loose
from datasets.media import playing
from tests.test_media import film

Looked = list[tuple[float, bytes]]
Span = tuple[float, float]
SPANS = [(0.5 * number, 0.5 * number + 2.0) for number in range(9)]  # of six seconds


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Loose:
    """Noise at ten a second, then at four, with a gap; only the first picture is whole in itself."""
    noise = np.random.default_rng(0).integers(0, 256, (44, 48, 64, 3))
    instants = [*np.arange(0, 3, 0.1), *np.arange(3.6, 7.1, 0.25)]
    return loose(film(tmp_path_factory.mktemp("reel") / "film.mp4", list(noise), instants))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instants of all pictures that a reel decodes."""
    told: list[float] = []
    real = playing

    @contextmanager
    def noted(track: Track) -> Iterator[tuple[Iterator[Any], float]]:
        with real(track) as (frames, interval):
            yield (told.append(frame[0]) or frame for frame in frames), interval  # type: ignore[func-returns-value]

    monkeypatch.setattr(reel, "playing", noted)
    return told


def look(media: Media, per_second: float | None = None, most: int = 1000) -> Looked:
    """No more than so many pictures."""
    told: Looked = []
    for shot in media.seen(iter, per_second):
        told.append((shot.until, shot.picture.tobytes()))
        if len(told) == most:
            break
    return told


@st.composite
def ways(draw: st.DrawFn) -> list[tuple[Span, float | None, int]]:
    """Where parts begin and end, how they are looked at, and how far."""
    starts = sorted(draw(st.lists(st.floats(0, 6.8), min_size=1, max_size=6)))
    rates, counts = st.sampled_from([None, 2.0, 7.3]), st.sampled_from([1, 5, 1000])
    return [((start, start + draw(st.floats(0.01, 4))), draw(rates), draw(counts)) for start in starts]


@given(told=ways(), held=st.sampled_from([0, 30_000, 2**28]))
def test_parts_show_what_each_shows_alone(told: list[tuple[Span, float | None, int]], held: int, clip: Loose) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reel, "HELD", held)
        parts = clip.parts(span for span, _, _ in told)
        for media, (span, rate, most) in zip(parts, told, strict=True):
            assert look(media, rate, most) == look(clip.part(*span), rate, most)


def test_a_picture_is_decoded_once(clip: Loose, decoded: list[float]) -> None:
    assert [len(look(media)) for media in clip.parts(SPANS)] == [len(look(clip.part(*span))) for span in SPANS]
    assert decoded == [shown for shown in sorted(set(decoded)) if shown < 6.3] and len(decoded) > 40


def test_parts_far_apart_are_sought(clip: Loose, decoded: list[float]) -> None:
    """From the last whole picture, which here is the first, and no further than they last."""
    for media in clip.parts([(1.5, 1.6), (4.0, 4.1)]):
        look(media)
    assert [instant for instant, after in zip(decoded[1:], decoded, strict=False) if instant < after] == [0.0]
    assert max(decoded) < 4.4


def test_no_more_pictures_are_held_than_are_wanted(
    clip: Loose, decoded: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reel, "HELD", 0)
    seen = [look(media) for media in clip.parts(SPANS)]
    assert len(decoded) > 2 * len(set(decoded)) and all(seen)  # each part decodes its own


def test_who_looks_again_decodes_for_himself(clip: Loose) -> None:
    alone = [look(clip.part(*span)) for span in SPANS]
    for media, wanted in zip(clip.parts(SPANS), alone, strict=True):
        both = [(one.until, other.until) for one, other in zip(media.seen(iter), media.seen(iter), strict=True)]
        assert both == [(until, until) for until, _ in wanted] and look(media) == wanted


def test_what_is_damaged_costs_no_later_part(clip: Loose, monkeypatch: pytest.MonkeyPatch) -> None:
    real = playing

    @contextmanager
    def damaged(track: Track) -> Iterator[tuple[Iterator[Any], float]]:
        def until(frames: Iterator[Any]) -> Iterator[Any]:
            for instant, frame in frames:
                if instant > 1.0 and track.start < 1.0:
                    raise MediaError(track.file, "is damaged")
                yield instant, frame

        with real(track) as (frames, interval):
            yield until(frames), interval

    monkeypatch.setattr(reel, "playing", damaged)
    whole, broken, behind = clip.parts([(0.0, 0.5), (0.5, 1.5), (1.2, 2.0)])
    assert look(whole) == look(clip.part(0.0, 0.5))
    with pytest.raises(DatasetError, match="is damaged"):
        look(broken)
    assert look(behind) == look(clip.part(1.2, 2.0))
