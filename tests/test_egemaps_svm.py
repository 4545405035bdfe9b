"""eGeMAPS and a support vector machine, against openSMILE and scikit-learn called directly."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from datasets.clips import Media, Track
from methods.base import Examples, RunContext
from methods.egemaps_svm import Config, EgemapsSvm, Functionals
from tests.test_media import sound_file

CLASSES = ("joy", "anger", "calm", "fear")
Floats = npt.NDArray[np.float64]


def wav(file: Path, seconds: float) -> Path:
    """Harmonics with noise."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    voice = sum(np.sin(2 * np.pi * 140 * k * (time + 0.02 * np.sin(9 * time))) / k for k in range(1, 20))
    noise = np.random.default_rng(0).normal(0, 0.01, len(time))
    return sound_file(file, np.asarray(0.2 * voice + noise)[None], 16_000)


def heard(file: Path) -> Media:
    return Media("0", frozenset({"audio"}), {"audio": Track(str(file))})


def test_functionals_are_those_of_opensmile(tmp_path: Path) -> None:
    opensmile = pytest.importorskip("opensmile")
    file = wav(tmp_path / "voice.wav", 1.0)
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    expected = smile.process_file(file).to_numpy()[0]
    found = Functionals(16_000)(heard(file))["functionals"]
    assert found.shape == (88,)
    assert found == pytest.approx(np.nan_to_num(expected), rel=1e-5, abs=1e-6)


def test_a_blink_of_sound_has_functionals(tmp_path: Path) -> None:
    pytest.importorskip("opensmile")
    found = Functionals(16_000)(heard(wav(tmp_path / "blink.wav", 0.02)))["functionals"]
    assert np.isfinite(found).all()


def points(classes: tuple[int, ...], seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Clouds that overlap, the later ones smaller."""
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.full(24 - 4 * number, c) for number, c in enumerate(classes)])
    return rng.normal(size=(len(targets), 6)) * 3 + np.eye(6)[targets] * 4 + 50, targets


def examples(features: Floats, targets: npt.NDArray[np.int64] | None = None) -> Examples:
    labels = () if targets is None else tuple(CLASSES[column] for column in targets)
    return Examples([{"functionals": row} for row in features], CLASSES, labels)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, 2, 3), (1, 3), (3, 0)])
def test_answers_are_those_of_scikit_learn(classes: tuple[int, ...], balanced: bool, kernel: str) -> None:
    """Two classes, more, and classes that training lacks, which get nothing."""
    features, targets = points(classes)
    asked, _ = points(classes, seed=1)
    method = EgemapsSvm(Config(kernel=kernel, balanced=balanced))  # type: ignore[arg-type]
    method.fit(examples(features, targets), None, RunContext())
    answers = method.predict_proba(examples(asked))
    scaler = StandardScaler().fit(features)
    oracle = SVC(C=10, kernel=kernel, class_weight="balanced" if balanced else None, break_ties=len(classes) > 2)
    oracle.fit(scaler.transform(features), targets)
    assert np.array_equal(answers.argmax(axis=1), oracle.predict(scaler.transform(asked)))
    assert len(set(answers.argmax(axis=1))) == len(classes)
    assert not answers[:, [column for column in range(4) if column not in classes]].any()
    assert answers.sum(axis=1) == pytest.approx(1)


def test_one_class_alone_is_a_clear_error() -> None:
    features, targets = points((2,))
    with pytest.raises(Exception, match="class"):
        EgemapsSvm().fit(examples(features, targets), None, RunContext())
