"""Folds trained together must be what each is alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.checkpoints import OnDisk
from benchmarks.plugins import load, names
from benchmarks.settings import Wish, assigned, configured
from benchmarks.speed.made_up import CLASSES, examples
from methods.base import Examples, Method, MethodError, Prepared, RunContext
from methods.parts import gru, together, training
from methods.parts.stacked import Stacked
from methods.parts.together import learn_together
from methods.parts.training import Lesson, Schedule, learn
from tests.toys import one_thread

AT_ONCE = "networks_at_once"
COUNTS = (5, 8, 6, 9)  # clips: one or two batches of 4 an epoch, for a last one of one joins the one before
CASES = [
    (name, modality)
    for name in names("methods")
    for modality in sorted(load("methods", name).modalities)
    if load("methods", name)(modality=modality).one_network
]


@pytest.fixture(autouse=True)
def _exactly() -> Iterator[None]:
    """In double precision, for Adam makes whole steps of gradients that are nothing but single precision's rounding."""
    torch.set_default_dtype(torch.float64)
    with one_thread():
        yield
    torch.set_default_dtype(torch.float32)


@dataclass
class Curves:
    """What a fit tells; it may be interrupted when it has told so much."""

    most: int = 10**9
    told: dict[tuple[str, int], float] = field(default_factory=dict)
    count: int = 0

    def __call__(self, name: str, value: float, epoch: int) -> None:
        if self.count == self.most:
            raise KeyboardInterrupt
        self.count += 1
        self.told[name, epoch] = value


class Folds:
    """Of a method at the quick preset: unlike in size, with unlike seeds and clips of unlike, but few, rows."""

    def __init__(
        self, name: str, modality: str, schedule: Schedule | None = None, counts: Sequence[int] = COUNTS
    ) -> None:
        self.counts = counts
        kind = load("methods", name)
        config, _ = configured(name, kind, Wish("quick", modality))
        chosen = schedule or replace(config.schedule, epochs=2, batch=4)
        config = replace(config, schedule=chosen)
        self.make: Callable[[], Method] = lambda: kind(config, modality)
        whole = examples(name, self.make(), max(counts) + len(counts))
        cut = [_cut(clip, 3 + 2 * number % 7) for number, clip in enumerate(whole.inputs)]
        self.whole = replace(whole, inputs=cut)

    def train(self, number: int) -> Examples:
        rows = slice(number, number + self.counts[number])
        return Examples(self.whole.inputs[rows], CLASSES, self.whole.labels[rows])

    def apart(self) -> Examples | None:
        """Also of one that keeps the last epoch: trials of tuning tell of each."""
        return Examples(self.whole.inputs[-5:], CLASSES, self.whole.labels[-5:])

    def alone(self, number: int, run: RunContext) -> nn.Module:
        method: Any = self.make()
        method.fit(self.train(number), self.apart(), replace(run, seed=number))
        return method.network  # type: ignore[no-any-return]

    def lesson(self, number: int, run: RunContext) -> Lesson:
        return self.make().lesson(self.train(number), self.apart(), replace(run, seed=number))


def _cut(clip: Prepared, rows: int) -> Prepared:
    return {name: whole[:rows] if name in ("mfcc", "faces", "sound") else whole for name, whole in clip.items()}


def same(found: nn.Module, expected: nn.Module) -> None:
    """Weights and running statistics."""
    assert not found.training
    for name, tensor in expected.state_dict().items():
        assert torch.allclose(found.state_dict()[name], tensor, rtol=1e-6, atol=1e-6), name


def taught(folds: Folds, numbers: Sequence[int], runs: Sequence[RunContext]) -> list[nn.Module]:
    """Together, all of them whole."""
    lessons = [folds.lesson(number, run) for number, run in zip(numbers, runs, strict=True)]
    assert learn_together(lessons) == [None] * len(lessons)
    return [lesson.network for lesson in lessons]


def compared(folds: Folds) -> set[float]:
    """All of them, alone and together; how many found room at once, where not all did."""
    one, other = [Curves() for _ in COUNTS], [Curves() for _ in COUNTS]
    found = taught(folds, range(len(COUNTS)), [RunContext(log=curves) for curves in other])
    for number, network in enumerate(found):
        same(network, folds.alone(number, RunContext(log=one[number])))
        told = {point: value for point, value in other[number].told.items() if point[0] != AT_ONCE}
        assert told == pytest.approx(one[number].told, rel=1e-6)
        assert len(one[number].told) == one[number].count > 4
    return {value for curves in other for (name, _), value in curves.told.items() if name == AT_ONCE}


def test_these_methods_train_one_network() -> None:
    assert {name for name, _ in CASES} == {"vgg16-gru", "cnn-lstm-dnn"} and len(CASES) == 6


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_each_fold_is_as_if_it_were_alone(name: str, modality: str) -> None:
    """Weights, running statistics, curves, dropout, and where an epoch is chosen, the one that is kept."""
    compared(Folds(name, modality))


@pytest.mark.parametrize(("momentum", "clip_norm"), [(0.9, 0.0), (0.9, 0.5)])
def test_other_steps_are_as_alone_too(momentum: float | None, clip_norm: float) -> None:
    compared(Folds("vgg16-gru", "audio", Schedule(3, 4, 0.02, clip_norm, momentum)))


def test_without_dropout_too() -> None:
    folds = Folds("cnn-lstm-dnn", "audio")
    method: Any = folds.make()
    config = assigned("cnn-lstm-dnn", method.config, {"dropout.layers": 0.0, "dropout.recurrent": 0.0})
    folds.make = lambda: type(method)(config, "audio")
    compared(folds)


def test_networks_do_not_hear_of_each_other() -> None:
    """What one learns does not hang on its company, to the last bit where that is of one size."""
    folds = Folds("cnn-lstm-dnn", "audio")
    first = [taught(folds, (1, other), [RunContext()] * 2)[0].state_dict() for other in (2, 3)]
    assert all(torch.allclose(first[0][name], first[1][name], rtol=0, atol=1e-12) for name in first[0])


def test_one_alone_goes_the_usual_way() -> None:
    folds = Folds("cnn-lstm-dnn", "audio")
    (found,) = taught(folds, [1], [RunContext()])
    expected = folds.alone(1, RunContext()).state_dict()
    assert all(torch.equal(found.state_dict()[name], expected[name]) for name in expected)


@pytest.mark.parametrize("bad", [1, 2])
def test_a_loss_that_is_no_number_costs_the_others_nothing(bad: int) -> None:
    """It is told with its epoch and batch as it would be alone; the others learn what they learn without it."""
    folds = Folds("vgg16-gru", "audio")
    lessons = [folds.lesson(number, RunContext()) for number in range(len(COUNTS))]
    spoilt = lessons[bad]

    curves = Curves()

    def inputs(rows: Tensor) -> Any:
        batch = spoilt.inputs(rows)
        if curves.told and len(rows) == 4:  # in the second epoch the first batch, or a later one
            batch["mfcc"].rows.fill_(torch.nan)
        return batch

    lessons[bad] = replace(spoilt, inputs=inputs, run=replace(spoilt.run, log=curves))
    errors = learn_together(lessons)
    curves.told.clear()
    with pytest.raises(MethodError) as alone:
        learn(replace(folds.lesson(bad, lessons[bad].run), inputs=inputs))
    assert str(errors[bad]) == str(alone.value) and "in epoch 2, batch" in str(alone.value)
    for number, lesson in enumerate(lessons):
        if number != bad:
            assert errors[number] is None
            same(lesson.network, folds.alone(number, RunContext()))


def test_a_fold_of_one_clip_fails_by_itself() -> None:
    folds = Folds("vgg16-gru", "audio")
    lessons = [folds.lesson(number, RunContext()) for number in (0, 1)]
    first, second = learn_together([replace(lessons[0], targets=lessons[0].targets[:1]), lessons[1]])
    assert second is None and "needs two training clips at least, but there is 1" in str(first)
    same(lessons[1].network, folds.alone(1, RunContext()))


@pytest.mark.parametrize(("room", "sizes"), [(2, {2}), (1, set())])
def test_what_memory_does_not_hold_at_once_is_asked_in_halves(
    room: int, sizes: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the end one by one; each learns what it learns alone."""
    asked, whole = list[int](), Stacked.__call__

    def call(self: Stacked, numbers: Sequence[int], *rest: Any) -> Tensor:
        if len(numbers) > room:
            raise torch.OutOfMemoryError(f"{len(numbers)} networks")
        asked.append(len(numbers))
        return whole(self, numbers, *rest)

    monkeypatch.setattr(Stacked, "__call__", call)
    assert compared(Folds("cnn-lstm-dnn", "audio")) == {room}
    assert set(asked) == sizes


def test_so_many_as_no_kernel_takes_are_asked_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a GPU's library refuses, and that is said; on a CPU one alone would be refused as well."""
    whole = Stacked.__call__

    def call(self: Stacked, numbers: Sequence[int], *rest: Any) -> Tensor:
        if len(numbers) > 2:
            raise RuntimeError("Expected canUse32BitIndexMath(output) to be true")
        return whole(self, numbers, *rest)

    monkeypatch.setattr(Stacked, "__call__", call)
    with pytest.raises(RuntimeError, match="canUse32BitIndexMath"):
        compared(Folds("cnn-lstm-dnn", "audio"))
    monkeypatch.setattr(together, "accelerated", lambda device: True)
    with pytest.warns(RuntimeWarning, match=r"\d networks are not trained at once, .* canUse32BitIndexMath"):
        assert compared(Folds("cnn-lstm-dnn", "audio")) == {2}


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_memory_that_runs_out_late_changes_nothing(momentum: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four step as one, then two and two, then each by itself; what is kept of their steps goes along."""
    folds = Folds("cnn-lstm-dnn", "audio", Schedule(4, 8, 3e-3, 0.0, momentum), counts=(8, 8, 8, 8))
    asked, whole = list[int](), Stacked.__call__
    numbers = range(4)

    def call(self: Stacked, some: Sequence[int], *rest: Any) -> Tensor:
        if len(some) > (4 if len(asked) < 1 else 2 if len(asked) < 5 else 1):
            raise torch.OutOfMemoryError(f"{len(some)} networks")
        asked.append(len(some))
        return whole(self, some, *rest)

    monkeypatch.setattr(Stacked, "__call__", call)
    found = taught(folds, numbers, [RunContext()] * 4)
    assert asked == [4, 2, 2, 2, 2]
    for number in numbers:
        same(found[number], folds.alone(number, RunContext()))


def test_inputs_that_memory_does_not_hold_at_once_are_made_one_by_one() -> None:
    """The second batch finds no room beside that of the other fold."""
    folds, calls = Folds("cnn-lstm-dnn", "audio"), list[int]()
    lessons = [folds.lesson(number, RunContext()) for number in (1, 3)]
    inputs = lessons[1].inputs

    def tight(rows: Tensor) -> Any:
        calls.append(len(rows))
        if len(calls) == 2:
            raise torch.OutOfMemoryError
        return inputs(rows)

    assert learn_together([lessons[0], replace(lessons[1], inputs=tight)]) == [None, None]
    for number, lesson in zip((1, 3), lessons, strict=True):
        same(lesson.network, folds.alone(number, RunContext()))
    assert calls == [4, 5, 5, 4, 5]


def test_what_memory_does_not_hold_of_one_is_learnt_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As alone: that is told in its own curves, and the others do not hear of it."""
    folds = Folds("cnn-lstm-dnn", "audio")
    lessons = [folds.lesson(number, RunContext(log=Curves())) for number in range(2)]
    tight, whole = lessons[0], lessons[0].network.forward

    def forward(batch: dict[str, Tensor]) -> Tensor:
        if tight.network.training and len(batch["sound"]) > 3:
            raise torch.OutOfMemoryError
        found: Tensor = whole(batch)
        return found

    monkeypatch.setattr(Stacked, "__call__", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    monkeypatch.setattr(tight.network, "forward", forward)
    assert learn_together(lessons) == [None, None]
    curves: list[Any] = [lesson.run.log for lesson in lessons]
    assert [curves[0].told.get(("parts_of_a_batch", epoch)) for epoch in (1, 2)] == [2, 2]
    assert not any(name == "parts_of_a_batch" for name, _ in curves[1].told)
    same(lessons[1].network, folds.alone(1, RunContext()))


def test_what_memory_does_not_hold_even_in_parts_fails_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    folds = Folds("cnn-lstm-dnn", "audio")
    lessons = [folds.lesson(number, RunContext()) for number in range(2)]
    whole = lessons[0].network.forward

    def forward(batch: dict[str, Tensor]) -> Tensor:
        if lessons[0].network.training:
            raise torch.OutOfMemoryError
        found: Tensor = whole(batch)
        return found

    monkeypatch.setattr(Stacked, "__call__", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    monkeypatch.setattr(lessons[0].network, "forward", forward)
    failed, fine = learn_together(lessons)
    assert "does not hold" in str(failed) and fine is None
    same(lessons[1].network, folds.alone(1, RunContext()))


def kept(folder: Path, number: int) -> OnDisk:
    """At the end of every epoch."""
    return OnDisk(folder / str(number), lambda line: None, 0, inf)


@pytest.mark.parametrize("most", [5, 7])
@pytest.mark.parametrize("company", [True, False])
def test_who_is_cut_short_together_goes_on_alone_or_together(most: int, company: bool, tmp_path: Path) -> None:
    """Some had ended the epoch in which the process was killed, others had not."""
    numbers, folds = (0, 1, 2), Folds("cnn-lstm-dnn", "audio", Schedule(4, 4, 3e-3))
    runs = [RunContext(log=Curves(most if number == 1 else 10**9), checkpoints=kept(tmp_path, number))
            for number in numbers]  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        taught(folds, numbers, runs)
    reached = [load_epoch(tmp_path, number) for number in numbers]
    assert reached[0] == reached[1] + 1 == reached[2] + 1
    again = [RunContext(log=Curves(), checkpoints=kept(tmp_path, number)) for number in numbers]
    found = taught(folds, numbers, again) if company else [folds.alone(number, again[number]) for number in numbers]
    for number in numbers:
        expected, curves = Curves(), again[number].log
        same(found[number], folds.alone(number, RunContext(log=expected)))
        assert isinstance(curves, Curves) and curves.count == expected.count
        assert curves.told == pytest.approx(expected.told, rel=1e-6)


def load_epoch(folder: Path, number: int) -> int:
    found = kept(folder, number).load("")
    return int(found.facts["epoch"]) if found else 0


def test_who_is_cut_short_alone_goes_on_together(tmp_path: Path) -> None:
    """One at the end, one in the midst, one at the beginning."""
    numbers, folds = (0, 1, 2), Folds("cnn-lstm-dnn", "audio", Schedule(3, 4, 3e-3))
    for number, most in ((0, 10**9), (1, 5)):
        run = RunContext(log=Curves(most), checkpoints=kept(tmp_path, number))
        try:
            folds.alone(number, run)
        except KeyboardInterrupt:
            assert number == 1
    assert [load_epoch(tmp_path, number) for number in numbers] == [3, 1, 0]
    again = [RunContext(log=Curves(), checkpoints=kept(tmp_path, number)) for number in numbers]
    for number, network in enumerate(taught(folds, numbers, again)):
        same(network, folds.alone(number, RunContext()))


def test_one_that_is_pruned_ends_by_itself() -> None:
    class Pruned(Exception):  # noqa: N818  no error
        pass

    def prune(name: str, value: float, epoch: int) -> None:
        raise Pruned(f"{name} {epoch}")

    folds = Folds("cnn-lstm-dnn", "audio")
    lessons = [folds.lesson(0, RunContext(prune=prune)), folds.lesson(1, RunContext())]
    first, second = learn_together(lessons)
    assert isinstance(first, Pruned) and str(first) == "validation_score 1" and second is None


def test_unlike_schedules_are_refused() -> None:
    folds = Folds("vgg16-gru", "audio")
    other = replace(folds.lesson(1, RunContext()), schedule=Schedule(9, 4, 0.1))
    with pytest.raises(MethodError, match="by one schedule"):
        learn_together([folds.lesson(0, RunContext()), other])


@pytest.mark.parametrize("name", ["vgg16-gru", "cnn-lstm-dnn"])
def test_the_way_of_a_gpu_learns_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the hardware: the order of weights, all layers of a GRU at once, and what is sent there."""
    folds = Folds(name, "av")
    expected = [folds.alone(number, RunContext()) for number in (1, 3)]
    for module in (training, together, gru):
        monkeypatch.setattr(module, "accelerated", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    for network, other in zip(taught(folds, (1, 3), [RunContext()] * 2), expected, strict=True):
        same(network, other)
        convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        assert convolutions
        assert all(one.weight.is_contiguous(memory_format=torch.channels_last) for one in convolutions)


@pytest.mark.parametrize("name", ["vgg16-gru", "cnn-lstm-dnn"])
def test_in_half_precision_it_is_as_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as that goes: each step of the losses of the first epoch. Without oneDNN: not all hosts have bf16."""
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    torch.set_default_dtype(torch.float32)
    for module in (training, together):
        monkeypatch.setattr(module, "mixed_precision", lambda device: torch.autocast("cpu", torch.bfloat16))
    folds, numbers = Folds(name, "av"), (1, 3)
    one, other = [Curves() for _ in numbers], [Curves() for _ in numbers]
    kinds = set[torch.dtype]()

    def seen(layer: nn.Module, given: Any, made: Any) -> None:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            kinds.add(made.dtype)

    watched = nn.modules.module.register_module_forward_hook(seen)
    taught(folds, numbers, [RunContext(log=curves) for curves in one])
    watched.remove()
    assert torch.bfloat16 in kinds
    for number, first, second in zip(numbers, one, other, strict=True):
        folds.alone(number, RunContext(log=second))
        assert first.told["train_loss", 1] == pytest.approx(second.told["train_loss", 1], rel=0.1)


def test_a_stacked_network_is_a_part_of_the_whole_until_it_is_parted() -> None:
    one, two = nn.Linear(2, 3), nn.Linear(2, 3)
    before = [network.weight.detach().clone() for network in (one, two)]
    stacked = Stacked([one, two])
    assert torch.equal(one.weight, before[0]) and torch.equal(two.weight, before[1])
    assert one.weight.untyped_storage().data_ptr() == two.weight.untyped_storage().data_ptr()
    stacked.part()
    assert one.weight.untyped_storage().data_ptr() != two.weight.untyped_storage().data_ptr()
    assert torch.equal(two.weight, before[1]) and two.weight.grad is None
    assert one.weight.untyped_storage().nbytes() == 6 * 8


def test_masks_hide_as_many_and_keep_the_mean() -> None:
    """Of each network others, drawn from its own chance alone."""
    from methods.parts.stacked import Drawn, drawn_from

    rows, chances = torch.ones(3, 4000), [drawn_from(seed, torch.device("cpu")) for seed in (5, 5, 6)]

    def one(rows: Tensor, place: Tensor) -> Tensor:
        with Drawn(chances, place):
            return nn.functional.dropout(rows, 0.25)

    hidden = torch.func.vmap(one)(rows, torch.arange(3))
    assert torch.equal(hidden[0], hidden[1]) and not torch.equal(hidden[0], hidden[2])
    assert np.allclose(hidden.mean(dim=1), 1, atol=0.05)
    assert sorted(set(hidden.flatten().tolist())) == pytest.approx([0, 4 / 3])
    torch.manual_seed(5)
    assert torch.equal(hidden[0], nn.functional.dropout(rows[0], 0.25))
