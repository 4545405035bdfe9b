"""RML: eight people in six languages, six acted emotions, 720 clips.

Y. Wang, L. Guan, "Recognizing Human Emotional State From Audiovisual Signals", IEEE Trans. Multimedia 10(5), 2008.
Two parts: `rml-1/` (s1 to s5) and `rml-2/` (s6 to s8); some speakers have one more folder level, the language.
"""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Recorded
from datasets.clips import SIX_EMOTIONS

SUBJECT = re.compile(r"s(\d)", re.IGNORECASE)
NAME = re.compile(r"(an|di|fe|ha|sa|su)\w*?(\d+)", re.IGNORECASE)
PART = re.compile(r"rml.*", re.IGNORECASE)
CODES = {emotion[:2]: emotion for emotion in SIX_EMOTIONS}


class Rml(Dataset):
    """File names repeat from speaker to speaker, so clips are named s1/an1, or s1/english/an1."""

    title = "RML"
    labels = SIX_EMOTIONS
    licence = "for research, on request"
    citation = "Wang & Guan, IEEE Trans. Multimedia 10(5), 2008, doi:10.1109/TMM.2008.927665"
    how_to_get = "ask the Ryerson Multimedia Research Laboratory for the RML emotion database"
    layout = "rml-1/s1/[english/]an1.avi (s1 to s5), rml-2/s6/an1.avi (s6 to s8)"
    expected = Expected(clips=(720, 720), subjects=(8, 8))
    recorded = Recorded(rate=22_050, width=720, height=480, frames_per_second=30)
    default_protocol = "leave-one-subject-out"

    def read(self, path: PurePosixPath) -> Entry | None:
        name = NAME.fullmatch(path.stem)
        at = [i for i, part in enumerate(path.parts[:-1]) if SUBJECT.fullmatch(part)]
        if not (name and at):
            return None
        subject = path.parts[at[-1]].lower()
        around = (*path.parts[: at[-1]], *path.parts[at[-1] + 1 : -1])
        languages = [part for part in around if not PART.fullmatch(part)]
        return Entry(
            name="/".join((subject, *languages, path.stem)).lower(), subject=subject, label=CODES[name[1].lower()]
        )

    def plan(self, full: bool) -> Iterator[Planned]:
        takes = range(1, 16 if full else 5)
        for subject, emotion, take in product(range(1, 9), SIX_EMOTIONS, takes):
            level = ("english/" if take % 2 else "mandarin/") if subject in (3, 4) else ""
            path = f"rml-{1 if subject < 6 else 2}/s{subject}/{level}{emotion[:2]}{take}.avi"
            yield self.planned(path, full)
