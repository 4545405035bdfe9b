"""Segments: the papers' own examples, and that sound and picture stay together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.parts.segments import AVEF_SHIFT, HYBRID_SHIFT, LENGTH, cut, picture_frames, starts, time_range

FRAME_RATES = st.sampled_from([12.5, 15.0, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0]) | st.floats(5.0, 120.0)
SHIFTS = st.sampled_from([HYBRID_SHIFT, AVEF_SHIFT]) | st.integers(1, 100)


def test_a_segment_lasts_655_ms() -> None:
    assert time_range(0, 500) == pytest.approx((0.0, 0.655))
    assert time_range(10, 500) == pytest.approx((0.100, 0.755))


def test_adjacent_segments_overlap_as_stated() -> None:
    first, second = starts(200, shift=AVEF_SHIFT)[:2]
    assert first + LENGTH - second == 30
    first, second = starts(200, shift=HYBRID_SHIFT)[:2]
    assert second - first == 30


def test_twenty_pictures_lose_two_at_each_end() -> None:
    within = [k for k in range(100) if 0.100 <= k / 30 < 0.755]
    assert len(within) == 20
    assert picture_frames(0.100, 0.755, 30, 100).tolist() == within[2:-2]


def test_twelve_pictures_repeat_two_at_each_end() -> None:
    repeated = [0, 0, 1, 1, *range(2, 10), 10, 10, 11, 11]
    assert picture_frames(0.0, 0.655, 12 / 0.655, 12).tolist() == repeated


def test_five_pictures_repeat_the_first_five_and_the_last_six() -> None:
    chosen = picture_frames(*time_range(0, 15, length=15), 30, 100)
    assert np.bincount(chosen).tolist() == [3, 3, 3, 3, 4]


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(19, [*range(1, 17)]), (17, [*range(16)]), (16, [*range(16)]), (15, [*range(15), 14]), (1, [0] * 16)],
)
def test_odd_numbers_go_and_come_at_the_end(count: int, chosen: list[int]) -> None:
    assert picture_frames(0.0, 1.0, count, 100).tolist() == chosen


@pytest.mark.parametrize(("per_second", "count"), [(25, 16), (29.97, 20), (30, 20), (60, 39)])
def test_usual_frame_rates(per_second: float, count: int) -> None:
    everything = picture_frames(0.0, 0.655, per_second, 100, wanted=count)
    assert everything.tolist() == list(range(count))
    dropped = (count - 16) // 2
    assert picture_frames(0.0, 0.655, per_second, 100).tolist() == list(range(dropped, dropped + 16))


@given(st.integers(0, 2000), st.integers(1, 80), SHIFTS)
def test_segments_cover_the_clip_but_for_less_than_a_shift(frames: int, length: int, shift: int) -> None:
    begun = starts(frames, length, shift)
    if frames < length:
        assert begun == [0] * min(frames, 1)
        return
    assert begun[0] == 0
    assert set(np.diff(begun)) <= {shift}
    assert 0 <= frames - (begun[-1] + length) < shift


@given(st.integers(1, 300), SHIFTS)
def test_cut_is_the_spectrogram_there(frames: int, shift: int) -> None:
    spectrogram = np.arange(3 * frames, dtype=np.float32).reshape(3, frames)
    for start in starts(frames, shift=shift):
        segment = cut(spectrogram, start)
        where = np.arange(start, start + LENGTH) - max(LENGTH - frames, 0) // 2
        assert segment.shape == (3, LENGTH)
        assert segment.dtype == np.float32
        np.testing.assert_array_equal(segment, spectrogram[:, where.clip(0, frames - 1)])


def test_short_clip_stays_in_the_middle_of_sound_and_picture() -> None:
    ramp = np.arange(40, dtype=np.float32)[None]  # 415 ms
    assert starts(40) == [0]
    assert np.bincount(cut(ramp, 0)[0].astype(int)).tolist() == [13, *[1] * 38, 13]
    assert time_range(0, 40) == pytest.approx((0.0, 0.415))
    assert picture_frames(*time_range(0, 40), 30, 12).tolist() == [0, 0, 1, 1, *range(2, 10), 10, 10, 11, 11]


@given(st.integers(1, 1000), SHIFTS, FRAME_RATES, st.integers(1, 500), st.integers(1, 40))
def test_pictures_are_there_in_order_and_as_many_as_wanted(
    frames: int, shift: int, per_second: float, available: int, wanted: int
) -> None:
    for start in starts(frames, shift=shift)[-3:]:
        chosen = picture_frames(*time_range(start, frames), per_second, available, wanted)
        assert len(chosen) == wanted
        assert chosen.min() >= 0
        assert chosen.max() < available
        assert (np.diff(chosen) >= 0).all()


@given(st.integers(LENGTH, 2000), SHIFTS, FRAME_RATES)
def test_picture_is_simultaneous_with_sound(frames: int, shift: int, per_second: float) -> None:
    for start in starts(frames, shift=shift)[-3:]:
        begin, end = time_range(start, frames)
        chosen = picture_frames(begin, end, per_second, 10**6)
        shown = chosen[0] / per_second, (chosen[-1] + 1) / per_second
        one = (1 + 1e-6) / per_second
        assert abs(sum(shown) - (begin + end)) / 2 <= one
        assert begin - one <= shown[0]
        assert shown[1] <= end + one


def test_last_picture_stays_where_the_picture_ends_first() -> None:
    begin, end = time_range(60, 500)
    assert picture_frames(begin, end, 30, 25).tolist() == [*range(20, 24), *[24] * 12]
    assert picture_frames(begin, end, 30, 5).tolist() == [4] * 16


def test_impossible_requests_name_the_value() -> None:
    assert starts(0) == []
    with pytest.raises(ValueError, match="at least 1 picture, but got 0"):
        picture_frames(0.0, 0.655, 30, 0)
    with pytest.raises(ValueError, match=r"starts\(100, 64\), but got 37"):
        cut(np.zeros((64, 100), np.float32), 37)
    with pytest.raises(ValueError, match=r"starts\(0, 64\), but got 0"):
        cut(np.zeros((64, 0), np.float32), 0)
    with pytest.raises(ValueError, match="at least 1 frame, but got 64 and 0"):
        starts(100, shift=0)
