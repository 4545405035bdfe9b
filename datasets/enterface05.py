"""eNTERFACE'05: 43 or 44 people react to six short stories, each with five given sentences, in English.

O. Martin, I. Kotsia, B. Macq, I. Pitas, "The eNTERFACE'05 Audio-Visual Emotion Database", ICDEW 2006.
Copies in circulation differ: 1287 to 1293 clips, folders `subject 1` to `subject 44`, where `subject 6` has no
`sentence N` level and `subject 23` misses emotions. Some names carry an extra token (`s_3_an_1`): folders are
trusted, names are checked against them.
"""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Recorded
from datasets.clips import SIX_EMOTIONS

SUBJECT = re.compile(r"subject[ _]*(\d+)", re.IGNORECASE)
SENTENCE = re.compile(r"sentence[ _]*(\d+)", re.IGNORECASE)
NAME = re.compile(r"s_?(\d+)_(an|di|fe|ha|sa|su)_(\d)(?:_\w+)?", re.IGNORECASE)
CODES = {emotion[:2]: emotion for emotion in SIX_EMOTIONS}


class Enterface05(Dataset):
    """Clips are named s<subject>_<emotion>_<sentence>, whatever the copy calls the file."""

    title = "eNTERFACE'05"
    labels = SIX_EMOTIONS
    licence = "for research; no licence text is shipped"
    citation = "Martin, Kotsia, Macq & Pitas, ICDEW 2006, doi:10.1109/ICDEW.2006.145"
    how_to_get = "download the emotion database of project 2 at enterface.net/enterface05"
    layout = "enterface database/subject 1/anger/sentence 1/s1_an_1.avi"
    expected = Expected(clips=(1287, 1293), subjects=(43, 44))
    recorded = Recorded(rate=48_000, width=720, height=576, frames_per_second=25)
    default_protocol = "leave-one-speaker-group-out"

    def read(self, path: PurePosixPath) -> Entry | None:
        folders = path.parts[:-1]
        subjects = [str(int(found[1])) for part in folders if (found := SUBJECT.fullmatch(part))]
        emotions = [part.lower() for part in folders if part.lower() in SIX_EMOTIONS]
        sentences = [str(int(found[1])) for part in folders if (found := SENTENCE.fullmatch(part))]
        told = NAME.fullmatch(path.stem)
        named = (str(int(told[1])), CODES[told[2].lower()], told[3]) if told else (None, None, None)
        placed = tuple(found[-1] if found else None for found in (subjects, emotions, sentences))
        subject, label, sentence = (a or b for a, b in zip(placed, named, strict=True))
        if subject is None or label is None or sentence is None:
            return None
        disagreements = [
            f"its folder says {folder}, its name {name}"
            for folder, name in zip(placed, named, strict=True)
            if folder and name and folder != name
        ]
        return Entry(
            name=f"s{subject}_{label[:2]}_{sentence}",
            subject=subject,
            label=label,
            sentence=f"{label} {sentence}",
            contradiction="; ".join(disagreements),
        )

    def plan(self, full: bool) -> Iterator[Planned]:
        subjects, sentences = (range(1, 45), range(1, 6)) if full else ((*range(1, 11), 23), range(1, 4))
        for subject, emotion, sentence in product(subjects, SIX_EMOTIONS, sentences):
            if subject == 23 and (emotion != "anger" or sentence > 3):
                continue
            level = "" if subject == 6 else f"sentence {sentence}/"
            token = "s_" if subject == 3 else "s"
            file = f"{token}{subject}_{emotion[:2]}_{sentence}.avi"
            yield self.planned(f"enterface database/subject {subject}/{emotion}/{level}{file}", full)
