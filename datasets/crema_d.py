"""CREMA-D: 91 actors, twelve sentences, six emotions; open to everybody.

H. Cao et al., "CREMA-D: Crowd-Sourced Emotional Multimodal Actors Dataset", IEEE Trans. Affective Computing 5(4), 2014.
The picture comes from VideoFlash, the sound from AudioWAV (else AudioMP3, else VideoFlash).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Recorded

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
NAME = re.compile(r"(1\d{3})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(XX|LO|MD|HI|X)", re.IGNORECASE)
KINDS = {".flv": {"video": 0, "audio": 2}, ".mp4": {"video": 0, "audio": 2}, ".wav": {"audio": 0}, ".mp3": {"audio": 1}}


class CremaD(Dataset):
    """1076_MTI_SAD_XX is known to have no usable sound; it stays in, and the check says so."""

    title = "CREMA-D"
    labels = tuple(EMOTIONS.values())
    licence = "ODbL 1.0"
    citation = "Cao et al., IEEE Trans. Affective Computing 5(4), 2014, doi:10.1109/TAFFC.2014.2336244"
    how_to_get = "git clone the CheyneyComputerScience/CREMA-D repository with git-lfs, or Kaggle's copy (sound only)"
    layout = "VideoFlash/1001_DFA_ANG_XX.flv and AudioWAV/1001_DFA_ANG_XX.wav"
    expected = Expected(
        clips=(7442, 7442),
        subjects=(91, 91),
        labels={emotion: 1087 if emotion == "neutral" else 1271 for emotion in EMOTIONS.values()},
    )
    recorded = Recorded(rate=16_000, width=480, height=360, frames_per_second=30)
    default_protocol = "subject-k-fold"
    suffixes = frozenset(KINDS)
    companions = r".*\.(csv|md|txt|html|r|rdata|pdf)|licen[cs]e[^/]*"
    without_sound = frozenset({"1076_MTI_SAD_XX"})

    def read(self, path: PurePosixPath) -> Entry | None:
        match = NAME.fullmatch(path.stem)
        if not match:
            return None
        return Entry(
            name=path.stem.upper(),
            subject=match[1],
            label=EMOTIONS[match[3].upper()],
            sentence=match[2].upper(),
            kinds=KINDS.get(path.suffix.lower(), {}),
        )

    def plan(self, full: bool) -> Iterator[Planned]:
        actors = range(1001, 1092) if full else (*range(1001, 1010), 1076)
        for actor, sentence, code in product(actors, SENTENCES if full else SENTENCES[4:7], EMOTIONS):
            levels = ("LO", "MD", "HI") if sentence == "IEO" and code != "NEU" else ("XX",)
            for level in levels:
                name = f"{actor}_{sentence}_{code}_{level}"
                lost = 5 if code == "NEU" else 3  # the real corpus lacks as many of each emotion
                if full and sentence == "WSI" and 1010 <= actor < 1010 + lost:
                    continue
                for path in (f"VideoFlash/{name}.flv", f"AudioWAV/{name}.wav"):
                    yield replace(self.planned(path, full), silent=name in self.without_sound)
