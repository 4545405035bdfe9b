"""Whoever shares a clip with others gets what it would get alone, whatever they do; and the clip is decoded once."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Thread, active_count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets import together as shared
from datasets.clips import DatasetError, Media, Track
from datasets.media import listen, read_shots
from datasets.rendering.face import Portrait
from datasets.shots import Shot
from datasets.together import AHEAD, together
from methods.parts import faces
from methods.parts.faces import FaceTracker
from methods.parts.landmarks import find_landmarks
from tests.servers import PATIENCE
from tests.test_media import film, sound_file
from tests.test_parts_faces import NEUTRAL, person

Reader = Callable[[Media], Any]
KEPT: list[Iterator[Any]] = []


def spoken(media: Media) -> list[float]:
    return [float(np.abs(media.audio(rate)).sum()) for rate in (8_000, 48_000, 8_000)]


def loud(media: Media) -> float:
    sound = media.audio(8_000)
    sound *= 2
    return float(sound.max())


def watched(media: Media) -> list[int]:
    return [int(picture.sum()) for picture in media.frames(20)]


def painted(media: Media) -> list[int]:
    seen = []
    for picture in media.frames():
        picture //= 2
        seen.append(int(picture.sum()))
    return seen


def followed(media: Media, per_second: float = 30.0) -> list[Any]:
    return [
        (face.box, face.landmarks.sum()) if face else shot.until for shot, face in media.seen(FaceTracker(), per_second)
    ]


def followed_seldom(media: Media) -> list[Any]:
    return followed(media, 7.5)


def followed_otherwise(media: Media) -> list[Any]:
    return [face and face.box for _, face in media.seen(FaceTracker(every=2))]


def stops(media: Media) -> list[int]:
    return [int(picture.sum()) for picture in islice(media.frames(), 5)]


def twice(media: Media) -> list[int]:
    return [*stops(media), *watched(media)]


def both_at_once(media: Media) -> list[int]:
    return [int(one.sum()) - int(two.sum()) for one, two in zip(media.frames(5), media.frames(25), strict=False)]


def breaks(media: Media) -> None:
    for number, _ in enumerate(media.frames(10)):
        if number == 3:
            raise ZeroDivisionError("of its own")


def never_begins(media: Media) -> bool:
    return media.frames() is not None


def begins_and_keeps(media: Media) -> int:
    KEPT.append(frames := media.frames())
    return int(next(frames).sum())


def from_another_thread(media: Media) -> list[int]:
    seen: list[int] = []
    thread = Thread(target=lambda: seen.extend(watched(media)))
    thread.start()
    thread.join(PATIENCE)
    return seen


def hands_over(media: Media) -> list[int]:
    frames, seen = media.frames(), list[int]()
    seen.append(int(next(frames).sum()))
    thread = Thread(target=lambda: seen.extend(int(picture.sum()) for picture in frames))
    thread.start()
    thread.join(PATIENCE)
    return seen


def asks_for_the_impossible(media: Media) -> list[Any]:
    return list(media.frames(0))


READERS: list[Reader] = [
    spoken, loud, watched, painted, followed, followed_seldom, followed_otherwise, stops, twice, both_at_once, breaks,
    never_begins, begins_and_keeps, from_another_thread, hands_over, asks_for_the_impossible,
]  # fmt: skip


def caught(reader: Reader) -> Reader:
    """What it gives, or how it fails."""

    def told(media: Media) -> Any:
        try:
            return reader(media)
        except Exception as error:
            return repr(error)

    return told


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """A second of a talking face, with a tone."""
    folder = tmp_path_factory.mktemp("clip")
    portrait = Portrait(person(6), 160, 160)
    pictures = [portrait.frame(NEUTRAL, 0.5 + 0.5 * np.sin(number), number / 25) for number in range(23)]
    video = film(folder / "face.mp4", pictures, [number / 25 for number in range(23)], (160, 160))
    sound = sound_file(folder / "tone.wav", 0.3 * np.sin(np.arange(2 * 16_000) / 9)[None], 16_000)
    return Media("ab12", frozenset({"audio", "video"}), {"audio": Track(str(sound)), "video": Track(str(video))})


@pytest.fixture(scope="module")
def alone(clip: Media) -> dict[Reader, Any]:
    return {reader: caught(reader)(clip) for reader in READERS}


def in_time(media: Media, readers: Sequence[Reader]) -> list[Any]:
    """An error instead of waiting forever."""
    found: list[Any] = []
    thread = Thread(target=lambda: found.extend(together(media, readers)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "they wait for each other"
    return found


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.sampled_from(READERS), min_size=2, max_size=6))
def test_all_get_what_they_would_get_alone(chosen: list[Reader], clip: Media, alone: dict[Reader, Any]) -> None:
    assert in_time(clip, [caught(reader) for reader in chosen]) == [alone[reader] for reader in chosen]


def test_readers_give_something(alone: dict[Reader, Any]) -> None:
    assert len(alone[watched]) == 19 and len(alone[followed]) == 28 and len(alone[followed_seldom]) == 7
    assert all(isinstance(one, tuple) for one in alone[followed])
    assert alone[breaks] == "ZeroDivisionError('of its own')"
    assert len(alone[hands_over]) == len(alone[painted]) == 23


def test_each_picture_is_decoded_and_searched_once(clip: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()

    def shots(track: Track) -> Iterator[Shot]:
        for shot in read_shots(track):
            counted["decoded"] += 1
            yield shot

    def looked(*what: Any) -> Any:
        counted["looked"] += 1
        return detect(*what)

    def found(*what: Any) -> Any:
        counted["landmarks"] += 1
        return find_landmarks(*what)

    def heard(track: Track) -> Any:
        counted["heard"] += 1
        return listen(track)

    detect = faces._detect
    monkeypatch.setattr(shared, "read_shots", shots)
    monkeypatch.setattr(shared, "listen", heard)
    monkeypatch.setattr(faces, "_detect", looked)
    monkeypatch.setattr(faces, "find_landmarks", found)
    together(clip, [followed, followed_seldom, spoken, watched, loud, followed])
    assert counted["decoded"] == counted["landmarks"] == 23
    assert counted["heard"] == 1
    once = counted["looked"]
    together(clip, [followed, watched])
    assert counted["looked"] == 2 * once


@pytest.mark.parametrize("readers", [[followed, watched], [followed, followed_seldom, stops, begins_and_keeps, spoken]])
def test_a_long_clip_is_never_held(readers: list[Reader], clip: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[int] = set()
    most = 0

    def shots(track: Track) -> Iterator[Shot]:
        nonlocal most
        for number in range(600):
            shot = Shot(np.full((40, 40, 3), number % 256, np.uint8), (number + 1) / 30)
            alive.add(number)
            weakref.finalize(shot, alive.discard, number)
            most = max(most, len(alive))
            yield shot
            del shot

    monkeypatch.setattr(shared, "read_shots", shots)
    monkeypatch.setattr("datasets.media.read_shots", shots)
    results = in_time(clip, readers)
    assert len(results[0]) == 600
    tracker = FaceTracker()
    assert most <= tracker.every + tracker.gap + 2 + AHEAD + len(readers)


def test_a_film_that_breaks_off_is_told_to_all_who_come_so_far(clip: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    def shots(track: Track) -> Iterator[Shot]:
        yield from islice(read_shots(track), 12)
        raise DatasetError("is damaged")

    monkeypatch.setattr(shared, "read_shots", shots)
    monkeypatch.setattr("datasets.media.read_shots", shots)
    readers = [caught(reader) for reader in (watched, followed, stops, spoken)]
    results = in_time(clip, readers)
    assert results[:2] == 2 * ["DatasetError('is damaged')"]
    assert results[2:] == [reader(clip) for reader in readers[2:]]


def test_what_a_clip_lacks_is_told_as_alone(clip: Media) -> None:
    mute = Media("ab12", frozenset({"video"}), {"video": clip._tracks["video"]})
    results = in_time(mute, [caught(spoken), stops])
    assert results == [caught(spoken)(mute), stops(clip)]
    assert "has no audio, only video" in results[0]
    gone = Media("ab12", frozenset({"audio"}), {"audio": Track(str(Path("happy.wav")))})
    told = in_time(gone, [caught(spoken), caught(loud)])
    assert told == 2 * [caught(spoken)(gone)] and "happy" not in told[0]


def test_an_interrupt_ends_all(clip: Media) -> None:
    def interrupted(media: Media) -> None:
        next(media.frames())
        raise KeyboardInterrupt

    before = active_count()
    with pytest.raises(KeyboardInterrupt):
        together(clip, list[Reader]([followed, interrupted, watched]))
    assert active_count() <= before
