"""The trainings of every method as plain PyTorch would have them: a loader of single examples, padded batches.

Each method's function does what its `fit` does, in the same order and from the same beginnings, one `Lesson` a network;
whoever asks for the next one has trained the network of the last.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.rnn import pad_sequence

from methods.base import Examples, Method, Prepared, RunContext
from methods.parts import alexnet, networks
from methods.parts.attention_network import ClipNetwork
from methods.parts.dbn import Dbn
from methods.parts.face_teaching import FaceModel
from methods.parts.fusion import fit_scale
from methods.parts.pooled import Segments
from methods.parts.recurrent import BiLstm
from methods.parts.towers import Towers, joined
from methods.parts.training import Schedule

Batch = dict[str, tuple[Tensor, Tensor]]  # rows [B, T, ...], of the longest's length, and how many are real [B]


@dataclass(frozen=True)
class Lesson:
    """One network's training."""

    stage: str  # in front of the names of its curves
    network: nn.Module  # as it begins; changed by whoever trains it
    examples: Sequence[Mapping[str, Tensor]]  # on the host
    targets: Tensor
    schedule: Schedule
    forward: Callable[[Batch], Tensor]
    varies: bool = False  # whether examples are of different lengths


def collated(examples: Sequence[tuple[Mapping[str, Tensor], Tensor]]) -> tuple[Batch, Tensor]:
    """What a loader makes of some examples."""
    inputs, targets = zip(*examples, strict=True)
    batch = {}
    for name in inputs[0]:
        rows = [example[name] for example in inputs]
        batch[name] = pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])
    return batch, torch.stack(targets)


def vgg16_gru(method: Any, train: Examples, run: RunContext) -> Iterator[Lesson]:
    """GRUs run over the padding too, and their states there are not looked at."""
    from methods.vgg16_gru import Fusion

    clips = [_tensors(clip) for clip in train.inputs]
    widths = {name: rows.shape[-1] for name, rows in clips[0].items()}
    if "faces" in widths:
        clips = [{**clip, "faces": clip["faces"].permute(0, 3, 1, 2)} for clip in clips]  # PyTorch's order
    with networks.seeded(run.seed):
        network = Fusion(method.config, widths, len(train.classes)).to(run.device)
    if "mfcc" in widths:
        fit_scale(network, torch.cat([clip["mfcc"] for clip in clips]))

    def seen(name: str, rows: Tensor, real: Tensor) -> Tensor:
        if name == "mfcc":
            return (rows - network.mean) / network.deviation
        if network.eyes is None:
            return rows
        told = network.eyes(rows[real] / 127.5 - 1)  # what is padded is in no batch's statistics
        padded: Tensor = told.new_zeros(*real.shape, told.shape[-1])
        padded[real] = told
        return padded

    def forward(batch: Batch) -> Tensor:
        told = []
        for name, (rows, lengths) in sorted(batch.items()):
            real = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
            subsystem: Any = network.subsystems[name]
            states = nn.GRU.forward(subsystem.gru, seen(name, rows, real))[0]
            last = states[torch.arange(len(lengths), device=rows.device), lengths - 1]
            told.append(subsystem.normalise(subsystem.dense(last)))
        logits: Tensor = network.classify(torch.cat(told, dim=1))
        return logits

    yield Lesson("", network, clips, _targets(train), method.config.schedule, forward, varies=True)


def cnn_lstm_dnn(method: Any, train: Examples, run: RunContext) -> Iterator[Lesson]:
    """All clips have been brought to one length."""
    from methods.cnn_lstm_dnn import FACES, Recogniser

    with networks.seeded(run.seed):
        network = Recogniser(method.config, method.modality, len(train.classes)).to(run.device)
    lengths = {"sound": method.config.sound.frames} | dict.fromkeys(FACES, method.config.motion.steps)
    tables = {}
    for name, scale in network.scales.items():
        if name in train.inputs[0]:
            rows = [clip[name] for clip in train.inputs]
            scale.learn(rows)  # type: ignore[operator]
            tables[name] = scale.table(rows, lengths[name])  # type: ignore[operator]
    clips = [{name: table[number] for name, table in tables.items()} for number in range(len(train))]
    for layer in network.modules():
        if isinstance(layer, BiLstm):
            layer.forward = partial(_bi_lstm, layer)  # type: ignore[method-assign]
    yield Lesson("", network, clips, _targets(train), method.config.schedule, lambda batch: network(_whole(batch)))


def _bi_lstm(layer: BiLstm, rows: Tensor) -> Tensor:
    """Step by step, for PyTorch's own has no recurrent dropout."""
    if not layer.training:
        return layer.lstm(rows)[0]  # type: ignore[no-any-return]
    weights = [torch.stack(pair) for pair in zip(*layer.lstm.all_weights, strict=True)]
    steps = rows.transpose(0, 1)  # [T, B, width]
    both = torch.stack([steps, steps.flip(0)])  # in both directions
    inputs = both @ weights[0].mT[:, None] + (weights[2] + weights[3])[:, None, None]
    state = cell = rows.new_zeros(2, len(rows), layer.lstm.hidden_size)
    mask, states = nn.functional.dropout(torch.ones_like(state), layer.dropout), []
    for step in inputs.unbind(1):
        enter, forget, update, leave = (step + (state * mask) @ weights[1].mT).chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * update.tanh()
        state = leave.sigmoid() * cell.tanh()
        states.append(state)
    forwards, backwards = torch.stack(states, dim=2)
    return torch.cat([forwards, backwards.flip(1)], dim=-1)


def attention_fbp(method: Any, train: Examples, run: RunContext) -> Iterator[Lesson]:
    """The network of faces, and the one of clips on what that says."""
    config, targets = method.config, _targets(train)
    widths = {"audio": config.sound.channels}
    clips = [{"audio": torch.from_numpy(clip["sound"])} for clip in train.inputs]
    if method.modality != "audio":
        with networks.seeded(run.seed):
            model = FaceModel(config.faces.shape, len(train.classes)).to(run.device)
        faces = [torch.from_numpy(clip["faces"]) for clip in train.inputs]
        owners = torch.repeat_interleave(torch.arange(len(faces)), torch.tensor([len(part) for part in faces]))
        pictures = [{"faces": picture.permute(2, 0, 1)} for part in faces for picture in part]
        yield Lesson(
            "faces", model, pictures, targets[owners], config.faces.schedule,
            lambda batch: model(batch["faces"][0].contiguous().float()),
        )  # fmt: skip
        model.eval()
        widths["video"] = config.faces.shape.features
        for clip, inputs in zip(clips, train.inputs, strict=True):
            clip["video"] = model.describe("basic", inputs["faces"]).cpu()
    with networks.seeded(run.seed):
        network = ClipNetwork(widths, config.hearing, config.attentions, config.fusing, len(train.classes))
    assert network.ear
    fit_scale(network.ear, torch.cat([clip["audio"] for clip in clips]).flatten(0, 1))
    network.to(run.device)

    def attended(name: str, rows: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
        if name == "audio":
            rows, real = _sound_vectors(network.ear, rows, lengths, real)
        told: Tensor = network.attend[name](rows, real)
        return told

    def forward(batch: Batch) -> Tensor:
        told = {name: attended(name, *batch[name]) for name in sorted(batch)}
        whole = network.fuse(told["audio"], told["video"]) if network.fuse else torch.cat(list(told.values()), dim=1)
        logits: Tensor = network.classify(whole)
        return logits

    yield Lesson("", network, clips, targets, config.schedule, forward, varies=True)


def _sound_vectors(ear: Any, rows: Tensor, lengths: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """A spectrogram thrice, as a picture in colours."""
    x = ((rows - ear.mean) / ear.deviation).where(real[:, :, None, None], 0.0)
    x = x.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    if x.shape[3] != ear.height:
        x = interpolate(x, (x.shape[2], ear.height), mode="bilinear", antialias=True)
    maps, lengths = alexnet.feature_maps(ear.features, x, lengths)
    real = torch.arange(maps.shape[2], device=rows.device) < lengths[:, None]
    return maps.flatten(2).transpose(1, 2), real.repeat_interleave(maps.shape[3], dim=1)


def hybrid_dbn(method: Any, train: Examples, run: RunContext) -> Iterator[Lesson]:
    """Both towers, and the fusion network on what they say."""
    from methods.hybrid_dbn import Hybrid

    with networks.seeded(run.seed):
        network = Hybrid(method.config, method.modality, len(train.classes))
    segments, targets = yield from _towers(network.to(run.device), method, train, run)
    if network.fusion is None:
        return
    features, fusing = joined(network.fc7(segments)), method.config.fusing
    fit_scale(network.fusion, features)
    inputs = (features - network.fusion.mean) / network.fusion.deviation
    layers = network.fusion.layers
    with networks.seeded(run.seed):
        if isinstance(layers, Dbn):
            layers.pretrain(inputs, fusing.pretraining, RunContext(run.seed, run.device))
    rows = [{"fc7": row} for row in inputs.cpu()]
    yield Lesson("fusion", layers, rows, targets, fusing.schedule, lambda batch: layers(batch["fc7"][0]))


def avef(method: Any, train: Examples, run: RunContext) -> Iterator[Lesson]:
    """Both towers, and both below the deep belief network."""
    from methods.avef import Network

    with networks.seeded(run.seed):
        network = Network(method.config, method.modality, len(train.classes))
    segments, targets = yield from _towers(network.to(run.device), method, train, run)
    if network.dbn is None:
        return
    dbn, features = network.dbn, network.fc7(segments)
    fit_scale(network, joined(features))
    dbn.pretrain(network.scaled(features), method.config.pretraining, RunContext(run.seed, run.device))

    def forward(batch: Batch) -> Tensor:
        logits: Tensor = dbn(network.scaled({name: _seen(name, tower.embed, batch) for name, tower in parts.items()}))
        return logits

    parts = network.parts()
    pairs = [{name: _segment(segments, name, number) for name in parts} for number in range(len(segments))]
    yield Lesson("together", network, pairs, targets, method.config.together, forward)


def _towers(
    network: Towers, method: Any, train: Examples, run: RunContext
) -> Generator[Lesson, None, tuple[Segments, Tensor]]:
    segments = Segments(train, "cpu")
    targets = _targets(train)[segments.owners]
    for name, tower in network.parts().items():
        if name == "audio":
            fit_scale(tower, segments.sound().flatten(0, 2))
        cut = [{name: _segment(segments, name, number)} for number in range(len(segments))]
        schedule = getattr(method.config, name).schedule
        yield Lesson(name, tower, cut, targets, schedule, partial(_seen, name, tower))
        tower.eval()
    return segments if run.device == "cpu" else Segments(train, run.device), targets


def _segment(segments: Segments, name: str, number: int) -> Tensor:
    """In PyTorch's order, channels first."""
    return segments.of(name, torch.tensor([number]))[0].movedim(-1, 0).contiguous()


def _seen(name: str, tower: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """What a tower, which wants channels last, makes of that."""
    return tower(batch[name][0].movedim(1, -1))


LESSONS: Mapping[str, Callable[[Method, Examples, RunContext], Iterator[Lesson]]] = {
    "attention-fbp": attention_fbp,
    "avef": avef,
    "cnn-lstm-dnn": cnn_lstm_dnn,
    "hybrid-dbn": hybrid_dbn,
    "vgg16-gru": vgg16_gru,
}


def _tensors(clip: Prepared) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.asarray(rows)) for name, rows in clip.items()}


def _targets(train: Examples) -> Tensor:
    return torch.from_numpy(train.targets())


def _whole(batch: Batch) -> dict[str, Tensor]:
    return {name: rows for name, (rows, _) in batch.items()}
