"""Groups of whole people, dialogues, sentences or recordings: what may be parted, and how it is shared out."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from datasets.clips import Clip
from datasets.roll import Clips
from protocols.base import ProtocolError, Unit, demand
from protocols.identity import canonical, first, same, spelled, spellings

Block = tuple[str, ...]


def blocks(clips: Iterable[Clip], unit: Unit) -> dict[Block, int]:
    """The least that can be held out, and its number of clips: ids that share a recording stay together."""
    clips = Clips.of(clips)
    demand(clips, unit)
    block, ways = same(clips, unit), spellings(clips, unit)
    places = first(ways)
    ids: defaultdict[int, set[str]] = defaultdict(set)
    for number, clip in zip(block[places].tolist(), clips.take(places), strict=True):
        ids[number].add(spelled(clip, unit))
    sizes = np.bincount(block).tolist()
    order = sorted(ids, key=lambda number: min(canonical(text, unit) for text in ids[number]))
    return {tuple(sorted(ids[number])): sizes[number] for number in order}


def balanced(clips: Iterable[Clip], unit: Unit, groups: int, seed: int | None = None) -> list[list[str]]:
    """Groups of nearly equal numbers of clips: each block joins the group that is smallest so far.

    Without a seed the largest comes first, which balances best; with one the seed's order decides who meets whom.
    Either way two groups differ by no more than the largest block.
    """
    sizes = blocks(clips, unit)
    if not isinstance(groups, int) or not 2 <= groups <= len(sizes):
        raise ProtocolError(f"{len(sizes)} {unit}s cannot form {groups} groups; choose from 2 up to their number")
    filled, members = [0] * groups, [list[str]() for _ in range(groups)]
    for block in sorted(sizes, key=lambda block: (-sizes[block], block)) if seed is None else _shuffled(sizes, seed):
        smallest = filled.index(min(filled))
        filled[smallest] += sizes[block]
        members[smallest].extend(block)
    return members


def portion(clips: Iterable[Clip], unit: Unit, share: float, seed: int) -> list[str]:
    """Values that hold about a share of the clips: in the seed's order, each that brings it nearer; not none or all."""
    sizes = blocks(clips, unit)
    if not isinstance(share, int | float) or not 0 < share < 1:
        raise ProtocolError(f"share must lie between 0 and 1, but is {share!r}; choose for example 0.2")
    if len(sizes) < 2:
        raise ProtocolError(f"a holdout needs two {unit}s, but there is {len(sizes)}; choose another protocol")
    missing, chosen = share * sum(sizes.values()), list[Block]()
    for block in _shuffled(sizes, seed):
        if abs(missing - sizes[block]) < abs(missing):
            chosen.append(block)
            missing -= sizes[block]
    smallest = min(sizes, key=lambda block: (sizes[block], block))
    if not chosen:
        chosen = [smallest]
    elif len(chosen) == len(sizes):
        chosen.remove(smallest)
    return [text for block in chosen for text in block]


def _shuffled(sizes: Mapping[Block, int], seed: int) -> Sequence[Block]:
    if not isinstance(seed, int):
        raise ProtocolError(f"seed must be a whole number, but is {seed!r}; choose for example 0")
    order = list(sizes)  # sorted, as blocks makes them
    random.Random(seed).shuffle(order)  # noqa: S311  reproducible, not secret
    return order
