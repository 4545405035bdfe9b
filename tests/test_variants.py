"""Every variant of every method found, at the quick preset, on clips of a stand-in that are prepared as in a run.

How well it learns is no matter here, so nothing is trained for long; the suite of all methods looks at that.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import console, pool
from benchmarks.content import contents
from benchmarks.corpora import CACHE
from benchmarks.handed import handed
from benchmarks.plan import bare
from benchmarks.plugins import load, names
from benchmarks.prepare import Store, fill
from benchmarks.settings import Wish, configured, flat
from datasets.base import Dataset
from datasets.clips import Clip
from methods.base import Examples, RunContext
from methods.parts.reweighing import PAPER
from methods.parts.weights import WeightStore
from tests.conftest import shared
from tests.tinybench import at_home, silent
from tests.toys import one_thread

CLASSES = tuple(sorted(PAPER))  # the seven that one of the variants is about; not all of them are trained
LABELS = ("anger", "happiness", "sadness")
CLIPS, ASKED = 10, 2


def wishes() -> list[Any]:
    """Of a method without variants, itself; those that get the same inputs go to the same worker, which has them."""
    found, groups = [], dict[str, int]()
    for name in names("methods"):
        kind = load("methods", name)
        for variant in kind.variants or ("",):
            config, modality = configured(name, kind, Wish("quick", "", variant))
            short = {dotted: 1 for dotted in flat(config) if dotted.rpartition(".")[2] == "epochs"}
            inputs = f"{corpus(name, variant)} {kind(config, modality).preparation()!r}"
            group = pytest.mark.xdist_group(f"inputs {groups.setdefault(inputs, len(groups))}")
            wish = Wish("quick", "", variant, short, weightless=True)
            found.append(pytest.param(name, wish, id=f"{name}-{variant}".strip("-"), marks=group))
    return found


def corpus(name: str, variant: str) -> str:
    """Pictures of faces, people with markers on their faces, or, for most, people who talk."""
    if variant.startswith("face-"):
        return "raf-db"
    return "iemocap" if name == "cnn-lstm-dnn" else "baum1s"


def some(dataset: Dataset) -> list[Clip]:
    """Of each label in turn, so that a few clips have them all."""
    by_label = [[clip for clip in dataset.index() if clip.label == label] for label in LABELS]
    return [clip for clips in zip_longest(*by_label) for clip in clips if clip][:CLIPS]


def examples(store: Store, clips: Sequence[Clip], labelled: bool = True) -> Examples:
    labels = tuple(clip.label for clip in clips) if labelled else ()
    return Examples(handed(store, [clip.media for clip in clips]), CLASSES, labels)


@pytest.fixture(autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One cache for the session: inputs that variants share are computed once."""
    monkeypatch.setenv(CACHE, str(shared(tmp_path_factory, "variants")))
    monkeypatch.setattr(pool, "in_processes", at_home)  # to start processes would take longer
    with one_thread():
        yield


@pytest.mark.parametrize(("name", "wish"), wishes())
def test_every_variant_learns_and_answers(
    name: str, wish: Wish, rendered: Callable[[str], Dataset], tmp_path: Path
) -> None:
    kind = load("methods", name)
    row = bare(name, *configured(name, kind, wish), wish, WeightStore(tmp_path, none=True))
    clips = some(rendered(corpus(name, wish.variant)))
    store = fill(row, clips, contents(clips, silent), "cpu", console.progress)
    for given in store.read(clips[0].media):
        assert any(len(store.read(clip.media)[given]) for clip in clips), f"{given}: nothing was found in any clip"
    train, asked = clips[:-ASKED], examples(store, clips[-ASKED:], labelled=False)
    apart = [clip for clip in train if kind.validates and clip.subject == train[0].subject]
    method = row.method()
    method.fit(
        examples(store, [clip for clip in train if clip not in apart]),
        examples(store, apart) if apart else None,
        RunContext(pretrained=row.pretrained),
    )
    answers = method.predict_proba(asked)
    assert answers.shape == (ASKED, len(CLASSES))
    assert np.isfinite(answers).all() and answers.min() >= 0
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-6)
    method.save(tmp_path)
    again = row.method()
    again.load(tmp_path)
    assert np.array_equal(again.predict_proba(asked), answers)
