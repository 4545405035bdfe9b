"""Decoding against what was encoded: rates, channels, time stamps, rotation, missing tracks."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from datasets.clips import DatasetError, Media, Track
from datasets.media import read_audio, read_frames


def sound_file(file: Path, samples: np.ndarray, rate: int) -> Path:
    """A wav or flac of [channels, samples] in -1..1."""
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(file, "w") as container:
        codec = "flac" if file.suffix == ".flac" else "pcm_s16le"
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        interleaved = (samples.T * 32767).round().astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
        frame.rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file


def film(file: Path, pictures: Sequence[Any], instants: list[float], size: tuple[int, int] = (64, 48)) -> Path:
    """Pictures, or plain ones of a grey level, shown from given instants on."""
    with av.open(file, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for picture, instant in zip(pictures, instants, strict=True):
            frame = av.VideoFrame.from_ndarray(
                np.broadcast_to(np.uint8(picture), (size[1], size[0], 3)).copy(), format="rgb24"
            )
            frame.pts, frame.time_base = round(instant * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_tone_keeps_its_pitch_and_length_at_any_rate(rate: int, suffix: str, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    sound = read_audio(Track(str(sound_file(tmp_path / f"tone{suffix}", tone[None], 48_000))), rate)
    assert abs(len(sound) - rate) <= rate // 500
    strongest = np.abs(np.fft.rfft(sound[: rate // 2] * np.hanning(rate // 2))).argmax() * 2
    assert abs(strongest - 440) <= 2
    assert np.abs(sound).max() == pytest.approx(0.5, abs=0.02)


def test_stereo_becomes_the_mean_of_its_channels(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 16_000))
    sound = read_audio(Track(str(sound_file(tmp_path / "stereo.wav", channels, 16_000))), 16_000)
    assert sound == pytest.approx(channels.mean(axis=0), abs=1e-4)


def test_part_of_a_track(tmp_path: Path) -> None:
    ramp = np.linspace(-0.9, 0.9, 16_000 * 5)
    file = sound_file(tmp_path / "ramp.wav", ramp[None], 16_000)
    part = read_audio(Track(str(file), start=2.5, end=3.25), 16_000)
    assert part == pytest.approx(ramp[40_000:52_000], abs=1e-3)


def test_variable_frame_rate_shows_what_is_on_the_screen(tmp_path: Path) -> None:
    instants = [0.0, 0.1, 0.5, 0.6]
    file = film(tmp_path / "film.mp4", [20, 90, 160, 230], instants)
    shown = [int(frame.mean()) for frame in read_frames(Track(str(file)), 10)]
    expected = [20, 90, 90, 90, 90, 160, 230]
    assert shown[:7] == pytest.approx(expected, abs=6)
    assert [int(f.mean()) for f in read_frames(Track(str(file)), None)] == pytest.approx([20, 90, 160, 230], abs=6)


def test_part_and_side_of_a_picture(tmp_path: Path) -> None:
    file = film(tmp_path / "film.mp4", list(range(40, 240, 2)), [i / 25 for i in range(100)])
    frames = list(read_frames(Track(str(file), 2.0, 3.0, "left"), None))
    assert [int(f.mean()) for f in frames] == pytest.approx(list(range(140, 190, 2)), abs=6)
    assert frames[0].shape == (48, 32, 3)


def test_missing_tracks_are_said(tmp_path: Path) -> None:
    wav = sound_file(tmp_path / "sound.wav", np.zeros((1, 1600)), 16_000)
    mp4 = film(tmp_path / "film.mp4", [50] * 5, [i / 25 for i in range(5)])
    with pytest.raises(DatasetError, match=r"sound\.wav has no video track, only audio"):
        next(read_frames(Track(str(wav)), None))
    with pytest.raises(DatasetError, match=r"film\.mp4 has no audio track, only video"):
        read_audio(Track(str(mp4)), 16_000)
    with pytest.raises(DatasetError, match="has no mocap, only audio"):
        Media("ab12", frozenset({"audio"}), {"audio": Track(str(wav))}).mocap()


def test_rotation_flag_turns_the_picture(tmp_path: Path) -> None:
    size = (64, 48)
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24] = 220  # bright above
    plain = tmp_path / "plain.mp4"
    with av.open(plain, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    upright = next(read_frames(Track(str(plain)), None))
    assert upright[:20].mean() > upright[28:].mean() + 100
    # the track header's matrix is the identity; a quarter turn clockwise is (0 1; -1 0) in 16.16 numbers
    content = plain.read_bytes()
    one, zero, minus = (value.to_bytes(4, "big", signed=True) for value in (0x10000, 0, -0x10000))
    at = content.index(one + zero * 3 + one + zero * 3, content.index(b"tkhd"))
    matrix = zero + one + zero + minus + zero
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content[:at] + matrix + content[at + 20 :])
    clockwise = next(read_frames(Track(str(turned)), None))
    assert clockwise.shape == (64, 48, 3)
    assert clockwise[:, 28:].mean() > clockwise[:, :20].mean() + 100
