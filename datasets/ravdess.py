"""RAVDESS: 24 actors speak two sentences in eight emotions.

S. R. Livingstone, F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
PLoS ONE 13(5), 2018. Every performance is released three times: 01- (sound and picture), 02- (picture), 03- (sound).
They are one recording, so one clip: its picture comes from 01- (else 02-), its sound from 03- (else 01-). On real
clips the two differ by at most 2 ms.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Recorded

EMOTIONS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")  # codes 01 to 08
KINDS = {"01": {"video": 0, "audio": 1}, "02": {"video": 1}, "03": {"audio": 0}}
NAME = re.compile(r"(0[1-3])-((0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4]))")
ACTOR_FOLDER = re.compile(r"actor_(\d+)", re.IGNORECASE)


class Ravdess(Dataset):
    """Clips are named without the modality: 01-06-01-02-01-01-12 stands for 01-, 02- and 03-01-06-01-02-01-12."""

    title = "RAVDESS (speech)"
    labels = EMOTIONS
    licence = "CC BY-NC-SA 4.0"
    citation = "Livingstone & Russo, PLoS ONE 13(5), 2018, doi:10.1371/journal.pone.0196391"
    how_to_get = "free at zenodo.org/records/1188976: Video_Speech_Actor_*.zip or Audio_Speech_Actors_01-24.zip"
    layout = "[Video_Speech_Actor_01/]Actor_01/01-01-06-01-02-01-01.mp4 (or 02-….mp4, 03-….wav, 03-….flac)"
    expected = Expected(
        clips=(1440, 1440),
        subjects=(24, 24),
        labels={emotion: 96 if emotion == "neutral" else 192 for emotion in EMOTIONS},
    )
    recorded = Recorded(rate=48_000, width=1280, height=720, frames_per_second=30)
    default_protocol = "subject-k-fold"
    protocol_settings = {
        "subject-k-fold": {  # a published list of test actors, five folds
            "published": (
                ("02", "05", "14", "15", "16"),
                ("03", "06", "07", "13", "18"),
                ("10", "11", "12", "19", "20"),
                ("08", "17", "21", "23", "24"),
                ("01", "04", "09", "22"),
            )
        }
    }
    suffixes = frozenset({".mp4", ".wav", ".flac"})
    exact_plan = True

    def read(self, path: PurePosixPath) -> Entry | None:
        match = NAME.fullmatch(path.stem)
        if not match:
            return None
        modality, performance, channel, emotion, intensity, statement, _, actor = match.groups()
        folders = [found[1] for part in path.parts[:-1] if (found := ACTOR_FOLDER.fullmatch(part))]
        contradiction = ""
        if folders and int(folders[-1]) != int(actor):
            contradiction = f"its name says actor {actor}, its folder actor {folders[-1]}"
        elif emotion == "01" and intensity == "02":
            contradiction = "neutral has no strong intensity"
        return Entry(
            name=performance,
            subject=actor,
            label=EMOTIONS[int(emotion) - 1],
            sentence=statement,
            kinds=KINDS[modality],
            left_out="" if channel == "01" else "a song, not speech",
            contradiction=contradiction,
        )

    def plan(self, full: bool) -> Iterator[Planned]:
        actors, repetitions = (24, 2) if full else (10, 1)
        for actor, emotion, intensity, statement, repetition in product(
            range(1, actors + 1), range(1, 9), (1, 2), (1, 2), range(1, repetitions + 1)
        ):
            if intensity == 2 and (emotion == 1 or not full):
                continue
            folder = f"Actor_{actor:02d}"
            name = f"01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
            paths = [f"Video_Speech_{folder}/{folder}/01-{name}.mp4"]
            if not full and actor == 10 and statement == 1:  # the sound of the same performance once more, on its own
                paths += [f"Audio_Speech_Actors_01-24/{folder}/03-{name}.wav"]
            for path in paths:
                yield replace(self.planned(path, full), channels=1 if path.endswith("mp4") else 2)
