"""IEMOCAP: ten actors in five dyadic sessions, cut into utterances; sound, picture and 55 facial markers.

C. Busso et al., "IEMOCAP: Interactive Emotional Dyadic Motion Capture Database", Language Resources and Evaluation
42(4), 2008. Labels and times stand in dialog/EmoEvaluation. An utterance Ses01F_impro01_M000 is spoken by the man of
session 1; the letter behind the session names who wears the markers. Both speakers share the picture of a dialogue:
the one who wears the markers is taken to be on the left (told by one source only: look at `check --sheet`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import product
from math import inf
from pathlib import PurePosixPath

from datasets.base import Dataset, Entry, Expected, Planned, Problem, Recorded, Scene
from datasets.clips import DatasetError, Track

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
FILM = re.compile(r"(.*/|)dialog/avi/DivX/\w+\.avi", re.IGNORECASE)
UNUSED = re.compile(  # of the full release, what this reader has no use for
    r"(.*/|)(readme[^/]*|licen[cs]e[^/]*|documentation/.*|"
    r"dialog/(EmoEvaluation/[\w-]+/.*\.(txt|anvil)|MOCAP_\w+/.*\.txt|lab/.*\.lab|transcriptions/.*\.txt|wav/.*\.wav)|"
    r"sentences/(ForcedAlignment/.*\.(phseg|syseg|wdseg)|MOCAP_(hand|head)/.*\.txt))",
    re.IGNORECASE,
)
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
        """One entry a row of the evaluations; whatever no row asks for is reported."""
        evaluations = [path for path in self.files if EVALUATION.fullmatch(path.as_posix())]
        if not evaluations:
            raise DatasetError(f"{self.root} holds no SessionN/dialog/EmoEvaluation/*.txt; layout: {self.layout}")
        filmed = any(FILM.fullmatch(path.as_posix()) for path in self.files)
        used: set[PurePosixPath] = set()
        for evaluation in evaluations:
            text = (self.root / evaluation).read_text(encoding="utf-8-sig", errors="replace")
            rows = [line.strip() for line in text.splitlines() if line.lstrip().startswith("[")]
            used |= {evaluation} if rows else set()
            for row in rows:
                yield self._utterance(evaluation, row, used)
            film = evaluation.parents[2] / f"dialog/avi/DivX/{evaluation.stem}.avi"
            if rows and filmed and film.as_posix().casefold() not in self._spelled:
                yield Problem("missing", str(film), f"the picture of {len(rows)} utterances in {evaluation}")
        for path in self.files:
            if path not in used and not UNUSED.fullmatch(path.as_posix()):
                yield Problem("unexpected", str(path), f"no row of an evaluation asks for it; layout: {self.layout}")

    def _utterance(self, evaluation: PurePosixPath, row: str, used: set[PurePosixPath]) -> Entry | Problem:
        """What a row and the files that it asks for make; those are added to `used`."""
        fields = ROW.fullmatch(row)
        if not fields:
            return Problem("unexpected", str(evaluation), f"its row {row!r} is not [start - end] utterance emotion […]")
        start, end, name, code = fields.groups()
        if not 0 <= float(start) < float(end) < inf:
            return Problem("unexpected", str(evaluation), f"its row {row!r} does not end after it starts")
        session, dialogue, entry = evaluation.parents[2], evaluation.stem, self.read(PurePosixPath(name))
        stray = not name.casefold().startswith(f"{dialogue}_".casefold())
        if not entry or stray or (session.name[-1:].isdigit() and session.name[-1] != name[4]):
            return Problem("contradictory", name, f"stands in {evaluation}, where by its name it does not belong")
        files = {
            "audio": f"sentences/wav/{dialogue}/{name}.wav",
            "video": f"dialog/avi/DivX/{dialogue}.avi",
            "mocap": f"sentences/MOCAP_rotated/{dialogue}/{name}.txt",
        }
        there = {kind: self._spelled.get((session / file).as_posix().casefold()) for kind, file in files.items()}
        found = {kind: path for kind, path in there.items() if path}
        used |= {*found.values()}
        if "audio" not in found:
            return Problem(
                "missing", str(session / files["audio"]), f"stands in {evaluation}, but there is no such wav"
            )
        tracks = {kind: Track(str(self.root / path)) for kind, path in found.items()}
        if "video" in tracks:
            side = "left" if name[5] == name.rpartition("_")[2][0] else "right"
            tracks["video"] = replace(tracks["video"], start=float(start), end=float(end), side=side)  # type: ignore[arg-type]
        return replace(entry, label=EMOTIONS.get(code.lower(), code), tracks=tracks, kinds=dict.fromkeys(tracks, 0))

    @cached_property
    def _spelled(self) -> dict[str, PurePosixPath]:
        """Each file by its path without case, because copies differ in it."""
        return {path.as_posix().casefold(): path for path in self.files}

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
