"""IEMOCAP: ten actors in five dyadic sessions, cut into utterances; sound, picture and 55 facial markers.

C. Busso et al., "IEMOCAP: Interactive Emotional Dyadic Motion Capture Database", Language Resources and Evaluation
42(4), 2008. Labels and times stand in dialog/EmoEvaluation. An utterance Ses01F_impro01_M000 is spoken by the man of
session 1; the letter behind the session names who wears the markers. Both speakers share the picture of a dialogue:
the one who wears the markers is taken to be on the left (told by one source only: look at `check --sheet`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import PurePosixPath

from datasets.base import Dataset, DatasetError, Entry, Expected, Planned, Problem, Recorded, Scene, Track

EMOTIONS = {
    "ang": "anger",
    "exc": "happiness",  # excited and happy are one class
    "hap": "happiness",
    "sad": "sadness",
    "neu": "neutral",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "oth": "other",
    "xxx": "without agreement",
}
NAME = re.compile(r"Ses0([1-5])([FM])_((?:impro|script)\w+?)_([FM])(\d+)", re.IGNORECASE)
ROW = re.compile(r"\[(\d+\.?\d*) - (\d+\.?\d*)\]\s+(\w+)\s+(\w+)\s+\[.*")
EVALUATION = re.compile(r"(.*/|)dialog/EmoEvaluation/\w+\.txt", re.IGNORECASE)
WAV = re.compile(r"(.*/|)sentences/wav/.*\.wav", re.IGNORECASE)
MARKERS = 55


class Iemocap(Dataset):
    """Four classes; the unit of independence is the session, because two speakers share each dialogue."""

    title = "IEMOCAP"
    labels = ("anger", "happiness", "neutral", "sadness")
    licence = "research only, by agreement"
    citation = "Busso et al., Language Resources and Evaluation 42(4), 2008, doi:10.1007/s10579-008-9076-6"
    how_to_get = "ask for it at sail.usc.edu/iemocap and sign the agreement"
    layout = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt, Session1/sentences/wav/…, Session1/dialog/avi/DivX/…"
    expected = Expected(
        clips=(5531, 5531),
        subjects=(10, 10),
        labels={"anger": 1103, "happiness": 1636, "neutral": 1708, "sadness": 1084},
        left_out=4508,
    )
    recorded = Recorded(rate=16_000, width=720, height=480, frames_per_second=29.97)
    default_protocol = "leave-one-session-out"

    def read(self, path: PurePosixPath) -> Entry | None:
        match = NAME.fullmatch(path.stem)
        if not match:
            return None
        session, _, dialogue, speaker, _ = match.groups()
        return Entry(
            name=path.stem,
            subject=f"Ses0{session}_{speaker.upper()}",
            label=None,
            session=f"Ses0{session}",
            sentence=dialogue if dialogue.startswith("script") else None,
        )

    def entries(self) -> Iterator[Entry | Problem]:
        files = {path.as_posix().casefold(): path for path in self.files}
        evaluations = [path for path in self.files if EVALUATION.fullmatch(path.as_posix())]
        if not evaluations:
            raise DatasetError(f"{self.root} holds no SessionN/dialog/EmoEvaluation/*.txt; layout: {self.layout}")
        annotated: set[PurePosixPath] = set()
        for evaluation in evaluations:
            session = evaluation.parents[2]
            for start, end, name, code in ROW.findall((self.root / evaluation).read_text(errors="replace")):
                inside = f"{evaluation.stem}/{name}"
                wav = files.get((session / f"sentences/wav/{inside}.wav").as_posix().casefold())
                entry = self.read(PurePosixPath(name))
                if not wav or not entry:
                    what = (
                        "does not fit the layout" if wav else f"stands in {evaluation}, but there is no such wav file"
                    )
                    yield Problem("missing", f"{session.name}/sentences/wav/{inside}.wav", what)
                    continue
                annotated.add(wav)
                tracks = {"audio": Track(self.root / wav)}
                if picture := files.get((session / f"dialog/avi/DivX/{evaluation.stem}.avi").as_posix().casefold()):
                    side = "left" if name[5] == name.rpartition("_")[2][0] else "right"
                    tracks["video"] = Track(self.root / picture, float(start), float(end), side)  # type: ignore[arg-type]
                if mocap := files.get((session / f"sentences/MOCAP_rotated/{inside}.txt").as_posix().casefold()):
                    tracks["mocap"] = Track(self.root / mocap)
                label = EMOTIONS.get(code.lower(), code)
                yield replace(entry, label=label, tracks=tracks, kinds=dict.fromkeys(tracks, 0))
        for path in self.files:
            if WAV.fullmatch(path.as_posix()) and path not in annotated:
                yield Problem("unexpected", str(path), "has no row in dialog/EmoEvaluation")

    def plan(self, full: bool) -> Iterator[Planned]:
        """Dialogues whose utterances follow each other; the sound and the markers of each are files of their own."""
        codes = ("ang", "exc", "sad", "neu", "hap", "fru")
        turns = range(9 if full else 1)
        for session, wearer, scene in product(range(1, 6), "FM", range(28 if full else 1)):
            dialogue = f"Ses0{session}{wearer}_{'script' if scene % 2 else 'impro'}{scene // 2 + 1:02d}"
            folder = f"Session{session}"
            scenes: list[Scene] = []
            at = 0.5
            for number, (_, code, speaker) in enumerate(product(turns, codes, "FM")):
                name = f"{dialogue}_{speaker}{number:03d}"
                wav = self.planned(f"{folder}/sentences/wav/{dialogue}/{name}.wav", full, label=EMOTIONS[code])
                yield wav
                spoken = wav.scenes[0]
                if speaker == wearer:
                    yield Planned(f"{folder}/sentences/MOCAP_rotated/{dialogue}/{name}.txt", (spoken,))
                side = "left" if speaker == wearer else "right"
                scenes.append(replace(spoken, start=round(at, 2), side=side))  # type: ignore[arg-type]
                at += spoken.seconds + 0.1
            yield Planned(f"{folder}/dialog/avi/DivX/{dialogue}.avi", tuple(scenes))

    def annotations(self, planned: Iterable[Planned]) -> Iterator[tuple[str, bytes]]:
        code_of = {label: code for code, label in EMOTIONS.items()}
        for plan in planned:
            if plan.path.endswith(".avi"):
                session, dialogue = plan.path.partition("/")[0], PurePosixPath(plan.path).stem
                rows = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"]
                for scene in plan.scenes:
                    times = f"[{scene.start:.4f} - {scene.start + scene.seconds:.4f}]"
                    rows.append(f"\n{times}\t{scene.entry.name}\t{code_of[str(scene.entry.label)]}\t[2.5, 2.5, 2.5]\n")
                yield f"{session}/dialog/EmoEvaluation/{dialogue}.txt", "".join(rows).encode()
