"""The engine's door: what is really handed to a fit, compared with what it will be tested on; before it is trained.

The guard of protocols makes folds that cannot leak. Here nobody asks how a fold was made: inputs are known by the
digest of what the clips hold, and who speaks there is looked up in the corpus as it was read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.arenas import Arena
from benchmarks.handed import Handed, handed
from benchmarks.prepare import Store
from benchmarks.training import training
from datasets.clips import Clip, UserError, tie
from methods.base import Examples, Method
from protocols.base import Fold, Judged
from protocols.identity import canonical, value
from protocols.scores import Scores


class LeakError(UserError):
    """Somebody, or something, of a test stands where is learnt."""


@dataclass(frozen=True, eq=False)
class Door:
    """Who may pass, on a corpus."""

    arena: Arena

    def check(self, fold: Judged, learnt: Iterable[Examples | None], test: Handed) -> None:
        """An error if a clip or recording of test is learnt from; or a person, unless the fold says so itself."""
        parts = [part.inputs for part in learnt if part]
        if not all(isinstance(part, Handed) for part in parts):
            raise LeakError(f"{fold.name}: nobody can tell which clips are handed to the fit; hand them by digest")
        taught = {digest for part in parts if isinstance(part, Handed) for digest in part.digests}
        self._apart(fold, self._clips(fold, taught), self._clips(fold, test.digests))

    def tuned(self, fold: Judged, inner: Sequence[Fold], method: Method, store: Store, seed: int) -> None:
        """The same of the folds on which settings are chosen; none of them may hold anything of the own test."""
        tested = self._clips(fold, handed(store, fold.test_media).digests)
        for one in inner:
            learnt, held = training(method, one, store, seed), handed(store, one.test_media)
            self.check(one, learnt, held)
            seen = [part.inputs.digests for part in learnt if part and isinstance(part.inputs, Handed)]
            self._apart(fold, self._clips(fold, [digest for some in (*seen, held.digests) for digest in some]), tested)

    def begun(self, fold: Judged, model: Mapping[str, Any], test: Handed) -> None:
        """An error if a model to begin with was taught by what is tested; `model` is what was kept of its making."""
        tested = self._clips(fold, test.digests)
        for corpus in model["corpora"]:
            media, sounds = set(corpus["media"]), set(corpus.get("sounds", ()))
            for clip in tested:
                if self._known_there(clip, media, sounds):
                    raise LeakError(_told(fold, f"clip {clip.name}", f"the model of {corpus['name']} it begins with"))
            same = corpus["name"] == self.arena.dataset.name
            if same or any(self._known_there(clip, media, sounds) for clip in self.arena.clips):
                people = {canonical(person, "subject") for person in corpus["subjects"]}
                both = sorted(str(clip.subject) for clip in tested if value(clip, "subject") in people)
                if both and fold.independence != "violated":
                    raise LeakError(_told(fold, f"person {both[0]}", f"the model of {corpus['name']} it begins with"))

    def scored(self, fold: Judged, given: npt.NDArray[np.float64], scores: Scores) -> None:
        """An error unless the scores are of these answers, beside the corpus' own labels."""
        clips = [self._by_id[media.clip_id] for media in fold.test_media]
        theirs = list(zip(scores.names, scores.truth, strict=True))
        if theirs != [(clip.name, clip.label) for clip in clips] or not np.array_equal(scores.probabilities, given):
            raise LeakError(f"{fold.name} scores other answers or labels than its test has; use the guard's Fold")

    @cached_property
    def _by_id(self) -> Mapping[str, Clip]:
        return {clip.media.clip_id: clip for clip in self.arena.clips}

    @cached_property
    def _by_content(self) -> Mapping[str, Sequence[Clip]]:
        found: dict[str, list[Clip]] = {}
        for clip in self.arena.clips:
            found.setdefault(self.arena.contents[clip.media.clip_id].media, []).append(clip)
        return found

    def _clips(self, fold: Judged, digests: Iterable[str]) -> list[Clip]:
        """All clips of that content, under whatever name."""
        found = list[Clip]()
        for digest in digests:
            if digest not in self._by_content:
                raise LeakError(f"{fold.name}: content {digest[:12]} is of no clip of {self.arena.dataset.name}")
            found += self._by_content[digest]
        return found

    def _known_there(self, clip: Clip, media: Collection[str], sounds: Collection[str]) -> bool:
        content = self.arena.contents[clip.media.clip_id]
        return content.media in media or (bool(content.sound) and content.sound in sounds)

    def _apart(self, fold: Judged, learnt: Sequence[Clip], tested: Sequence[Clip]) -> None:
        there = {self._recording[clip.name]: clip for clip in learnt}
        for clip in tested:
            if twin := there.get(self._recording[clip.name]):
                also = "" if twin.name == clip.name else f", as {twin.name}"
                raise LeakError(_told(fold, f"clip {clip.name}", f"training{also}"))
        if fold.independence == "violated":  # it says so itself, and so does every result
            return
        people = {self._person[name]: clip for clip in learnt if (name := value(clip, "subject"))}
        for clip in tested:
            name = value(clip, "subject")
            if name and (twin := people.get(self._person[name])):
                also = "" if value(twin, "subject") == name else f", as {twin.subject}"
                raise LeakError(_told(fold, f"person {clip.subject}", f"training{also}"))
        if fold.independence == "verified" and (nobody := [c for c in (*tested, *learnt) if not value(c, "subject")]):
            raise LeakError(
                f"{fold.name} calls its subjects verified, but who is in clip {nobody[0].name} is unknown; "
                "use the guard's Fold"
            )

    @cached_property
    def _recording(self) -> Mapping[str, str]:
        """By the clip's name, what all clips of one recording have alike."""
        one = tie((f"\0{clip.name}", trace) for clip in self.arena.clips for trace in self._traces(clip))
        return {clip.name: one[f"\0{clip.name}"] for clip in self.arena.clips}

    @cached_property
    def _person(self) -> Mapping[str, str]:
        """By the person's id, what all ids have alike that share a recording, or a chain of them."""
        named = ((value(clip, "subject") or f"\0{clip.name}", clip) for clip in self.arena.clips)
        one = tie((f"\0person {name}", trace) for name, clip in named for trace in self._traces(clip))
        return {name.removeprefix("\0person "): same for name, same in one.items()}

    def _traces(self, clip: Clip) -> Iterator[str]:
        """What tells a sound or a picture apart, by kind."""
        content = self.arena.contents[clip.media.clip_id]
        yield f"\0recording {clip.recording or clip.name}"
        yield f"\0media {content.media}"
        if content.sound:
            yield f"\0sound {content.sound}"


def _told(fold: Judged, who: str, where: str) -> str:
    return f"{fold.name} leaks: {who} of its test stands in {where}; hold it out, or take it out with --exclude FILE"
