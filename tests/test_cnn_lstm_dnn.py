"""The network against closed forms, its preparation against rendered clips with sound, picture and markers."""

import csv
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmarks.settings import Wish, configured
from datasets.base import Dataset
from datasets.clips import Media
from datasets.shots import Item, Shot, Through
from methods.base import Examples, MethodError, Prepared, RunContext
from methods.cnn_lstm_dnn import CnnLstmDnn, Config, Face, Recogniser, SoundAndMotion
from methods.parts.motion import LANDMARKS, MARKERS, Motion
from methods.parts.short_term import NAMES, ShortTerm

CLASSES = ("anger", "neutral", "sadness")
SHORT = Motion(steps=20, per_second=4.0)


def quick(variant: str, **settings: Any) -> CnnLstmDnn:
    """As the quick preset has it, but for one epoch."""
    wish = Wish("quick", variant=variant, settings={"schedule.epochs": 1, **settings})
    return CnnLstmDnn(*configured("cnn-lstm-dnn", CnnLstmDnn, wish))


def clip(method: CnnLstmDnn, number: int, motion: str = "mocap", frames: int = 12) -> Prepared:
    """Noise about a mean that tells the class."""
    rng, mean = np.random.default_rng(number), number % len(CLASSES)
    width = MARKERS if motion == "mocap" else LANDMARKS
    inputs: dict[str, npt.NDArray[Any]] = {}
    if method.modality != "video":
        inputs["sound"] = rng.normal(mean, 0.3, (frames, len(NAMES))).astype(np.float32)
    if method.modality != "audio":
        inputs[motion] = rng.normal(mean, 0.3, (method.config.motion.steps, width)).astype(np.float32)
    return inputs


def examples(clips: list[Prepared]) -> Examples:
    return Examples(clips, CLASSES, tuple(CLASSES[number % len(CLASSES)] for number in range(len(clips))))


class TestNetwork:
    """The sizes of the paper."""

    @staticmethod
    def closed_form(variant: str, classes: int) -> int:
        """Weights and biases, layer by layer, as one would count them on paper."""

        def lstm(width: int) -> int:
            return 2 * 4 * (256 * (width + 256) + 2 * 256)  # two directions, four gates

        def line(ins: int, outs: int, kernel: int = 1) -> int:
            return kernel * ins * outs + outs

        context = lstm(34) + lstm(512) + line(512, 256)
        whole = line(34, 64, 3) + line(64, 64, 3) + line(64, 128, 3) + line(128, 128, 3) + line(50 * 128, 256)
        widths = [(1, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
        rest = sum(2 * outs for _, outs in widths) + line(7 * 6 * 128, 256)  # 200 x 165 halved five times
        large = sum(line(ins, outs, 25) for ins, outs in widths) + rest
        small = sum(line(ins, outs, 9) + line(outs, outs, 9) for ins, outs in widths) + rest
        return {
            "ser-1": context + line(256, classes),
            "ser-2": context + whole + line(512, classes),
            "fer-1": large + line(256, classes),
            "fer-2": small + line(256, classes),
            "mer-1": context + small + line(512, 256) + line(256, classes),
            "mer-2": context + whole + small + line(768, 256) + line(256, classes),
        }[variant]

    @pytest.mark.parametrize("variant", CnnLstmDnn.variants)
    def test_number_of_parameters(self, variant: str) -> None:
        row = CnnLstmDnn.variants[variant]
        network = Recogniser(row.config, row.modality, 4)
        assert sum(values.numel() for values in network.parameters()) == self.closed_form(variant, 4)

    def test_small_kernels_save_parameters(self) -> None:
        saved = self.closed_form("fer-1", 4) - self.closed_form("fer-2", 4)
        told = CnnLstmDnn.paper.left_unsaid["channels and steps of the facial blocks"]
        assert f"{saved:,} parameters less" in told  # the paper's 134,752 is not met; the difference is told

    def test_two_small_kernels_see_as_far_as_a_large_one(self) -> None:
        for kernels in (3, 3), (5,):
            torch.manual_seed(0)
            network = Recogniser(Config(face=Face(kernels)), "video", 4).eval()
            assert network.face is not None
            picture = torch.zeros(1, 1, 200, 165, requires_grad=True)
            network.face[0](picture)[0, :, 50, 40].sum().backward()
            assert picture.grad is not None
            reached = picture.grad[0, 0].nonzero()
            assert reached.amin(dim=0).tolist() == [98, 78]
            assert reached.amax(dim=0).tolist() == [102, 82]

    def test_logits_at_the_papers_size(self) -> None:
        network = Recogniser(Config(), "av", 4).eval()
        batch = {"sound": torch.zeros(2, 100, 34), "mocap": torch.zeros(2, 200, 165)}
        assert network(batch).shape == (2, 4)

    def test_even_kernels_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"kernels must be odd, but got \(2,\)"):
            Face(kernels=(2,))


class TestPreparation:
    """From rendered clips."""

    @pytest.fixture
    def iemocap(self, rendered: Callable[[str], Dataset]) -> list[Media]:
        return [clip.media for clip in rendered("iemocap").index()]

    def test_sound_is_clipped_to_the_first_frames(self, iemocap: list[Media]) -> None:
        whole = SoundAndMotion("audio", ShortTerm(), SHORT)(iemocap[0])
        seconds = len(iemocap[0].audio(16_000)) / 16_000
        assert whole.keys() == {"sound"}
        assert whole["sound"].shape == (int((seconds - 0.2) / 0.1 + 1e-6) + 1, 34)
        first = SoundAndMotion("audio", ShortTerm(frames=5), SHORT)(iemocap[0])
        np.testing.assert_array_equal(first["sound"], whole["sound"][:5])

    def test_markers_stay_in_time(self, iemocap: list[Media]) -> None:
        worn = next(media for media in iemocap if "mocap" in media.has)
        inputs = SoundAndMotion("video", ShortTerm(), SHORT)(worn)
        assert inputs.keys() == {"mocap"}
        assert inputs["mocap"].shape == (20, MARKERS)
        raw = worn.mocap()
        assert np.isnan(raw[:, :3]).any()
        assert np.isfinite(inputs["mocap"]).all()
        moment = (np.arange(len(raw)) + 0.5) / len(raw)  # of each frame, as a share of the clip
        for step in (0, 7, 19):
            within = (moment >= step / 20) & (moment < (step + 1) / 20)
            spread = np.ptp(raw[within][:, 3:], axis=0).max()
            apart = np.abs(inputs["mocap"][step, 3:] - raw[within][:, 3:].mean(axis=0))
            assert apart.max() <= spread

    def test_landmarks_stand_in_for_markers(self, iemocap: list[Media]) -> None:
        bare = next(media for media in iemocap if "mocap" not in media.has)
        inputs = SoundAndMotion("av", ShortTerm(), SHORT)(bare)
        assert inputs.keys() == {"sound", "landmarks"}
        assert inputs["landmarks"].shape == (20, LANDMARKS)
        points = inputs["landmarks"].reshape(20, 68, 2)
        right, left = points[:, 36:42].mean(axis=1), points[:, 42:48].mean(axis=1)
        np.testing.assert_allclose(np.linalg.norm(left - right, axis=1), 1, atol=0.05)  # in eye distances

    def test_no_face(self) -> None:
        inputs = SoundAndMotion("video", ShortTerm(), SHORT)(Stub(pictures=3))
        assert inputs["landmarks"].shape == (0, LANDMARKS)

    def test_no_marker_ever_seen(self) -> None:
        assert Motion()(Stub(markers=np.full((9, MARKERS), np.nan)))["mocap"].shape == (0, MARKERS)

    def test_one_marker_never_seen(self) -> None:
        markers = np.ones((9, MARKERS))
        markers[:, 3:6] = np.nan
        mocap = Motion()(Stub(markers=markers))["mocap"]
        assert not mocap[:, 3:6].any()
        np.testing.assert_allclose(np.delete(mocap, [3, 4, 5], axis=1), 1, rtol=1e-6)

    def test_other_markers_are_refused(self) -> None:
        with pytest.raises(MethodError, match="165 values, but holds 189; choose --modality audio"):
            Motion()(Stub(markers=np.ones((9, 189))))

    def test_a_sound_shorter_than_a_window(self) -> None:
        assert SoundAndMotion("audio", ShortTerm(), Motion())(Stub(samples=100))["sound"].shape == (1, 34)


class Stub(Media):
    """A clip out of nothing."""

    def __init__(
        self, pictures: int = 0, samples: int = 0, markers: npt.NDArray[np.floating[Any]] | None = None
    ) -> None:
        super().__init__("ab12", frozenset({"audio", "video"} | ({"mocap"} if markers is not None else set())), {})
        vars(self).update(pictures=pictures, samples=samples, markers=markers)

    def audio(self, rate: int) -> npt.NDArray[np.float32]:
        return np.sin(np.arange(vars(self)["samples"], dtype=np.float32))

    def seen(self, through: Through[Item], per_second: float | None = None) -> Iterator[Item]:
        return through(Shot(picture, 0.0) for picture in np.full((vars(self)["pictures"], 90, 120, 3), 128, np.uint8))

    def mocap(self) -> npt.NDArray[np.float32]:
        return np.asarray(vars(self)["markers"], np.float32)


class TestMethod:
    """Training, answering, keeping."""

    @pytest.mark.parametrize("variant", CnnLstmDnn.variants)
    def test_every_variant_learns_and_comes_back(self, variant: str, tmp_path: Path) -> None:
        method = quick(variant, **{"schedule.epochs": 12, "schedule.batch": 12})
        train = examples([clip(method, number) for number in range(24)])
        method.fit(train, examples([clip(method, number) for number in range(24, 30)]), RunContext())
        unseen = Examples([clip(method, number) for number in range(30, 42)], CLASSES)
        told = method.predict_proba(unseen)
        assert told.shape == (12, 3)
        np.testing.assert_allclose(told.sum(axis=1), 1)
        assert (told.argmax(axis=1) == np.arange(12) % 3).mean() > 0.6
        alone = method.predict_proba(Examples(unseen.inputs[3:4], CLASSES))
        np.testing.assert_allclose(alone[0], told[3], atol=1e-5)
        method.save(tmp_path)
        other = CnnLstmDnn(method.config, method.modality)
        other.load(tmp_path)
        np.testing.assert_array_equal(other.predict_proba(unseen), told)

    def test_the_same_seed_gives_the_same_answers(self) -> None:
        told = []
        for seed in (0, 0, 1):
            method = quick("mer-2")
            train = examples([clip(method, number) for number in range(9)])
            method.fit(train, None, RunContext(seed))
            told.append(method.predict_proba(train))
        np.testing.assert_array_equal(told[0], told[1])
        assert np.abs(told[0] - told[2]).max() > 1e-3

    def test_quick_keeps_what_makes_a_variant(self) -> None:
        assert not quick("ser-1").config.speech.convolved
        assert quick("fer-1").config.face.kernels == (5,)

    def test_scaling_knows_training_frames_only(self) -> None:
        method = quick("mer-2")
        clips = [clip(method, number, frames=frames) for number, frames in enumerate((3, 9, 32, 5))]
        method.fit(examples(clips), examples([clip(method, 70)]), RunContext())
        scale: Any = method.network.scales["sound"]
        frames = np.concatenate([inputs["sound"] for inputs in clips])
        np.testing.assert_allclose(scale.mean, frames.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(scale.deviation, frames.std(axis=0), rtol=1e-4)

    def test_padding_stands_at_the_mean(self) -> None:
        method = quick("ser-2")
        method.fit(examples([clip(method, number) for number in range(6)]), None, RunContext())
        short = clip(method, 9)["sound"]
        mean: Any = method.network.scales["sound"]
        padded = np.vstack([short, np.tile(mean.mean.numpy(), (32 - len(short), 1))])
        told = method.predict_proba(Examples([{"sound": short}, {"sound": padded}], CLASSES))
        np.testing.assert_allclose(told[0], told[1], atol=1e-5)

    def test_markers_and_landmarks_in_one_corpus(self) -> None:
        method = quick("mer-2")
        clips = [clip(method, number, ("mocap", "landmarks")[number % 2]) for number in range(12)]
        method.fit(examples(clips), None, RunContext())
        together = method.predict_proba(Examples(clips, CLASSES))
        alone = method.predict_proba(Examples(clips[1:2], CLASSES))
        np.testing.assert_allclose(alone[0], together[1], atol=1e-5)

    def test_nothing_found_and_what_training_never_met_count_alike(self) -> None:
        method = quick("fer-2")
        method.fit(examples([clip(method, number) for number in range(6)]), None, RunContext())
        empty = {"mocap": np.zeros((0, MARKERS), np.float32)}
        stranger = clip(method, 0, "landmarks")
        told = method.predict_proba(Examples([empty, stranger], CLASSES))
        assert np.isfinite(told).all()
        np.testing.assert_allclose(told[0], told[1], atol=1e-6)

    def test_training_clips_without_any_face(self) -> None:
        method = quick("fer-2")
        clips: list[Prepared] = [{"landmarks": np.zeros((0, LANDMARKS), np.float32)} for _ in range(4)]
        method.fit(examples(clips), None, RunContext())
        assert np.isfinite(method.predict_proba(Examples(clips, CLASSES))).all()

    def test_inputs_may_be_read_one_by_one(self) -> None:
        """As the cache has them: no slices."""

        class Stored(list[Prepared]):
            def __getitem__(self, number: Any) -> Any:
                assert isinstance(number, int)
                return super().__getitem__(number)

        method = quick("ser-2")
        clips = Stored(clip(method, number) for number in range(6))
        method.fit(examples(clips), examples(clips), RunContext())
        assert len(method.predict_proba(Examples(clips, CLASSES))) == 6


def test_published_numbers_belong_to_variants() -> None:
    text = (files("methods") / "published" / "cnn_lstm_dnn.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert {row["variant"] for row in rows} == set(CnnLstmDnn.variants)
    for row in rows:
        assert row["modality"] == CnnLstmDnn.variants[row["variant"]].modality
        if row["column"] == "WA":  # the same number stands beside the variant
            assert (
                f"{row['row']}: {float(row['value']):.2%}".replace("%", " %") in CnnLstmDnn.variants[row["variant"]].row
            )
