"""A stranger's corpus of speech files, added by one small file as CONTRIBUTING says."""

from pathlib import Path

import pytest

import datasets
from benchmarks.plugins import build, load, names
from datasets.standin import render

CORPUS = '''"""A small corpus of German speech: ten speakers, seven emotions, sound alone."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Recorded

EMOTIONS = {"W": "anger", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral"}
NAME = re.compile(r"(\\d\\d)([ab]\\d\\d)([WEAFTN])([a-f])")  # speaker, text, emotion, take


class SmallSpeech(Dataset):
    """Files wav/03a01Fa.wav."""

    title = "Small speech"
    labels = tuple(EMOTIONS.values())
    licence = "free"
    citation = "nobody"
    how_to_get = "make it"
    layout = "wav/03a01Fa.wav"
    expected = Expected(clips=(24, 24), subjects=(2, 2))
    recorded = Recorded(rate=16_000)
    default_protocol = "leave-one-subject-out"
    suffixes = frozenset({".wav"})

    def read(self, path: PurePosixPath) -> Entry | None:
        match = NAME.fullmatch(path.stem)
        if not match:
            return None
        speaker, text, emotion, _ = match.groups()
        return Entry(name=path.stem, subject=speaker, label=EMOTIONS[emotion], sentence=text)

    def plan(self, full: bool) -> Iterator[Planned]:
        for speaker, text, emotion in product(("03", "08"), ("a01", "b02"), EMOTIONS):
            yield self.planned(f"wav/{speaker}{text}{emotion}a.wav", full)
'''


def test_one_file_adds_a_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert len(CORPUS.splitlines()) <= 60
    plugins, root = tmp_path / "plugins", tmp_path / "small-speech"
    plugins.mkdir()
    (plugins / "small_speech.py").write_text(CORPUS)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(plugins)])
    assert "small-speech" in names("datasets")
    corpus = load("datasets", "small-speech")(root)
    render(corpus, processes=1)
    assert (root / "wav/03a01Fa.wav").is_file()
    clips = corpus.index()
    assert len(clips) == 24
    assert {clip.media.has for clip in clips} == {frozenset({"audio"})}
    assert corpus.check().faults == ()
    folds = list(build("protocols", corpus.default_protocol).folds(clips))
    assert [fold.independence for fold in folds] == ["verified", "verified"]
