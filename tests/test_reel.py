"""Parts of a film, decoded once for all, beside what each part shows alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.predict import Windows, predicted
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


def test_parts_a_little_apart_are_decoded_on(clip: Loose, decoded: list[float]) -> None:
    for media in clip.parts([(0.5, 1.0), (1.8, 2.0), (2.9, 3.0)]):
        look(media)
    assert decoded == sorted(set(decoded))


def test_parts_far_apart_are_sought(clip: Loose, decoded: list[float]) -> None:
    """From the last whole picture, which here is the first, and no further than they last."""
    for media in clip.parts([(1.5, 1.6), (4.0, 4.1)]):
        look(media)
    assert [instant for instant, after in zip(decoded[1:], decoded, strict=False) if instant < after] == [0.0]
    assert max(decoded) < 4.4


def test_the_end_is_not_sought_again(clip: Loose, decoded: list[float]) -> None:
    """The last picture stands for as long as parts ask."""
    ends = [(5.0 + number, 9.0 + number) for number in range(9)]
    assert [len(look(media)) for media in clip.parts(ends)] == [len(look(clip.part(*span))) for span in ends]
    assert decoded == sorted(set(decoded))


@pytest.mark.parametrize("held", [0, 30_000, 2**28])
def test_no_more_pictures_are_held_than_are_wanted(
    clip: Loose, decoded: list[float], held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, or so many bytes; where that is too little, each part decodes its own."""
    monkeypatch.setattr(reel, "HELD", held)
    film = reel.Reel()
    for span in SPANS:
        for _ in film.shots(clip.part(*span)._tracks["video"]):
            there = [sum(plane.buffer_size for plane in frame.planes) for _, frame in film._held]
            assert film._bytes == sum(there) and (len(there) == 1 or film._bytes <= held)
    assert (len(decoded) == len(set(decoded))) == (held == 2**28)
    film.close()
    assert not film._held and not film._bytes


def test_stamps_that_go_back(clip: Loose, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def disordered(track: Track) -> Iterator[tuple[Iterator[Any], float]]:
        with playing(track) as (frames, interval):
            yield (
                ((instant + 0.25 * (number % 3 == 0), frame) for number, (instant, frame) in enumerate(frames)),
                interval,
            )

    monkeypatch.setattr(reel, "playing", disordered)
    monkeypatch.setattr("datasets.media.playing", disordered)
    spans = [(0.15 + 0.04 * number, 2.0) for number in range(30)]
    for media, span in zip(clip.parts(spans), spans, strict=True):
        assert look(media) == look(clip.part(*span))


def test_who_looks_again_decodes_for_himself(clip: Loose) -> None:
    alone = [look(clip.part(*span)) for span in SPANS]
    for media, wanted in zip(clip.parts(SPANS), alone, strict=True):
        both = [(one.until, other.until) for one, other in zip(media.seen(iter), media.seen(iter), strict=True)]
        assert both == [(until, until) for until, _ in wanted] and look(media) == wanted


def test_a_part_that_is_over_says_so(clip: Loose) -> None:
    parts = clip.parts(SPANS)
    first = next(parts).seen(iter)
    next(first)
    look(next(parts))
    with pytest.raises(RuntimeError, match="once the next one is begun"):
        list(first)


@pytest.mark.parametrize("error", [MediaError(Path("film.mp4"), "is damaged"), RuntimeError("is damaged")])
def test_what_is_damaged_costs_no_later_part(clip: Loose, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which begins before the damage is met, where nothing is decoded again but for that."""

    @contextmanager
    def damaged(track: Track) -> Iterator[tuple[Iterator[Any], float]]:
        def until(frames: Iterator[Any]) -> Iterator[Any]:
            for instant, frame in frames:
                if instant > 1.0 and track.start < 0.8:
                    raise error
                yield instant, frame

        with playing(track) as (frames, interval):
            yield until(frames), interval

    monkeypatch.setattr(reel, "playing", damaged)
    parts = clip.parts([(0.0, 0.5), (0.5, 1.5), (0.9, 2.0)])
    assert look(next(parts)) == look(clip.part(0.0, 0.5))
    with pytest.raises((DatasetError, RuntimeError), match="is damaged"):
        look(next(parts))
    assert look(next(parts)) == look(clip.part(0.9, 2.0))


def test_a_film_is_closed_at_the_end(clip: Loose, decoded: list[float]) -> None:
    (kept,) = clip.parts([(0.0, 1.0)])
    assert look(kept) == look(clip.part(0.0, 1.0)) and not decoded  # it decodes for itself


def test_windows_are_looked_at_so(clip: Loose, decoded: list[float]) -> None:
    """What `predict` asks a model about."""

    class Counting:
        classes, kinds = ("few", "many"), frozenset({"video"})
        fits = staticmethod(lambda _: None)

        @staticmethod
        def probabilities(media: Media) -> Any:
            return np.array([1.0, len(look(media))])

    answer = predicted(Counting(), clip.file, Windows(2.0, 0.5), lambda *_: None)  # type: ignore[arg-type]
    wanted = [len(look(clip.part(*span))) for span in answer.windows]
    assert answer.over_time[:, 1].tolist() == wanted and len(wanted) > 5
    assert decoded == sorted(set(decoded)) and len(decoded) > 40
