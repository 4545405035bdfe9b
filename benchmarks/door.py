"""The engine's door: what is really handed to a fit, compared with what it will be tested on; before it is trained.

The guard of protocols makes folds that cannot leak. Here nobody asks how a fold was made: inputs are known by the
digest of what the clips hold, and who speaks there is looked up in the corpus as it was read.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.arenas import Arena
from benchmarks.content import Texts, ids, located
from benchmarks.handed import Handed, handed
from benchmarks.prepare import Store
from benchmarks.training import training
from datasets.clips import UserError
from methods.base import Examples, Method
from protocols.base import Fold, Judged
from protocols.identity import canonical, chained, owners, recordings, value, values
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
        taught = [part.digests for part in parts if isinstance(part, Handed)]
        self._apart(fold, self._places(fold, *taught), self._places(fold, test.digests))

    def tuned(self, fold: Judged, inner: Sequence[Fold], method: Method, store: Store, seed: int) -> None:
        """The same of the folds on which settings are chosen; none of them may hold anything of the own test."""
        tested = self._places(fold, handed(store, fold.test_media).digests)
        for one in inner:
            learnt, held = training(method, one, store, seed), handed(store, one.test_media)
            self.check(one, learnt, held)
            seen = [part.inputs.digests for part in learnt if part and isinstance(part.inputs, Handed)]
            self._apart(fold, self._places(fold, *seen, held.digests), tested)

    def begun(self, fold: Judged, model: Mapping[str, Any], test: Handed) -> None:
        """An error if a model to begin with was taught by what is tested; `model` is what was kept of its making."""
        places = self._places(fold, test.digests)
        for corpus in model["corpora"]:
            where = f"the model of {corpus['name']} it begins with"
            known = self._known_there(corpus["media"], corpus.get("sounds", ()))
            if there := places[known[places]].tolist():
                raise LeakError(_told(fold, f"clip {self._name(there[0])}", where))
            if corpus["name"] == self.arena.dataset.name or known.any():
                people = {canonical(person, "subject") for person in corpus["subjects"]}
                tested = self.arena.clips.take(places)
                both = sorted(str(clip.subject) for clip in tested if value(clip, "subject") in people)
                if both and fold.independence != "violated":
                    raise LeakError(_told(fold, f"person {both[0]}", where))

    def scored(self, fold: Judged, given: npt.NDArray[np.float64], scores: Scores) -> None:
        """An error unless the scores are of these answers, beside the corpus' own labels."""
        clips = self.arena.clips.take(located(ids(fold.test_media), self.arena.clips.ids, self._by_id))
        theirs = list(zip(scores.names, scores.truth, strict=True))
        if theirs != [(clip.name, clip.label) for clip in clips] or not np.array_equal(scores.probabilities, given):
            raise LeakError(f"{fold.name} scores other answers or labels than its test has; use the guard's Fold")

    @cached_property
    def _media(self) -> Texts:
        """Of each clip of the corpus, a digest of what it holds."""
        return self.arena.contents.media(self.arena.clips.media)

    @cached_property
    def _sounds(self) -> Texts:
        """Of each what it sounds like."""
        return self.arena.contents.sounds(self.arena.clips.media)

    @cached_property
    def _by_id(self) -> npt.NDArray[np.intp]:
        """Places of the corpus' clips, in the order of their ids."""
        return np.argsort(self.arena.clips.ids, kind="stable")

    def _places(self, fold: Judged, *digests: Texts) -> npt.NDArray[np.intp]:
        """Of all clips of that content in the corpus, under whatever name."""
        wanted = np.concatenate([self._media[:0], *digests])
        if len(strange := wanted[~np.isin(wanted, self._media)]):
            content = strange[0].decode()[:12]
            raise LeakError(f"{fold.name}: content {content} is of no clip of {self.arena.dataset.name}")
        return np.flatnonzero(np.isin(self._media, wanted))

    def _name(self, place: int) -> str:
        return self.arena.clips[place].name

    def _known_there(self, media: Collection[str], sounds: Collection[str]) -> npt.NDArray[np.bool_]:
        """Of each clip of the corpus, whether it is one of those, or sounds like one."""
        held, heard = (
            np.isin(own, np.array([*some], np.bytes_)) for own, some in ((self._media, media), (self._sounds, sounds))
        )
        both: npt.NDArray[np.bool_] = held | (heard & (self._sounds != b""))
        return both

    def _apart(self, fold: Judged, learnt: npt.NDArray[np.intp], tested: npt.NDArray[np.intp]) -> None:
        clips = self.arena.clips
        if pair := _twins(self._recording, learnt, tested):
            clip, twin = pair
            also = "" if twin == clip else f", as {self._name(twin)}"
            raise LeakError(_told(fold, f"clip {self._name(clip)}", f"training{also}"))
        if fold.independence == "violated":  # it says so itself, and so does every result
            return
        known = values(clips, "subject") != 0
        if pair := _twins(self._person, learnt[known[learnt]], tested[known[tested]]):
            clip, twin = pair
            same = value(clips[clip], "subject") == value(clips[twin], "subject")
            also = "" if same else f", as {clips[twin].subject}"
            raise LeakError(_told(fold, f"person {clips[clip].subject}", f"training{also}"))
        nobody = [place for places in (tested, learnt) for place in places[~known[places]].tolist()[:1]]
        if fold.independence == "verified" and nobody:
            raise LeakError(
                f"{fold.name} calls its subjects verified, but who is in clip {self._name(nobody[0])} is unknown; "
                "use the guard's Fold"
            )

    @cached_property
    def _recording(self) -> npt.NDArray[np.intp]:
        """Of each clip, a number that all clips of one recording have alike."""
        return chained(self.arena.clips.keys("name"), self._traces)

    @cached_property
    def _person(self) -> npt.NDArray[np.intp]:
        """Of each clip, a number that all ids have alike that share a recording, or a chain of them."""
        return chained(owners(self.arena.clips, "subject"), self._traces)

    @property
    def _traces(self) -> list[npt.NDArray[Any]]:
        """What tells a sound or a picture apart, by kind."""
        return [recordings(self.arena.clips), self._media, self._sounds]


def _twins(
    same: npt.NDArray[np.intp], learnt: npt.NDArray[np.intp], tested: npt.NDArray[np.intp]
) -> tuple[int, int] | None:
    """The first clip of test that is the same as one that is learnt from, and that one."""
    if not len(both := tested[np.isin(same[tested], same[learnt])]):
        return None
    return int(both[0]), int(learnt[same[learnt] == same[both[0]]][-1])


def _told(fold: Judged, who: str, where: str) -> str:
    return f"{fold.name} leaks: {who} of its test stands in {where}; hold it out, or take it out with --exclude FILE"
