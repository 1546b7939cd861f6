"""The graph of recorded operations, and how it becomes rows: `Node`s while the model runs, `finish` afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush

from .ops import PADS, Fields, Geometry, field_size
from .rows import Row, Shape

_COPIED = ("index", "path", "kind", "inputs", "outputs", "params", "macs", "activation_bytes", "reused", "note")
_WINDOW = ("kernel", "stride", "padding", "dilation", "groups", "bias")


@dataclass(eq=False)
class Node:
    """One operation while it is being recorded; fields as in `Row`, sources as nodes (None: a constant)."""

    path: str
    kind: str
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    sources: tuple[Node | None, ...] = ()
    geometry: Geometry | None = None
    bias: bool | None = None
    params: int = 0
    macs: int = 0
    activation_bytes: int = 0
    fields: Fields = None
    from_input: bool = False  # whether the values depend on the model's input
    reused: bool = False
    pads: bool = False  # whether a padding or joining is among the operations that were collapsed into it
    note: str = ""
    parameter_ids: list[int] = field(default_factory=list)  # of the parameters in `params`
    collapsed_into: Node | None = None  # the layer that stands for this operation in the table
    index: int = -1  # -1 is the model's input


def resolve(node: Node | None) -> Node | None:
    """Return the node that stands for `node` in the table: itself, or the layer that it was collapsed into."""
    while node is not None and node.collapsed_into is not None:
        node = node.collapsed_into
    return node


def finish(nodes: list[Node]) -> list[Row]:
    """Return the rows of the recorded nodes, in order, with additions explained and running totals."""
    for index, node in enumerate(nodes):
        node.index = index
    for node in nodes:
        node.sources = tuple(resolve(s) for s in node.sources)
    branches = {n.index: _branches(n, nodes) for n in nodes if n.kind == "add"}
    on_shortcut = {i for *_, side in branches.values() for i in side}
    calls: Counter[str] = Counter()
    rows: list[Row] = []
    params = macs = 0
    for node in nodes:
        params += node.params
        macs += node.macs
        window = node.geometry
        main, shortcut, shortcut_kind, _ = branches.get(node.index, (None, None, None, ()))
        rows.append(
            Row(
                **{name: getattr(node, name) for name in _COPIED},
                **({name: getattr(window, name) for name in _WINDOW} if window else {"bias": node.bias}),
                call=calls[node.path],
                sources=tuple(_name(s) for s in node.sources),
                receptive_field=field_size(node.fields),
                cumulative_params=params,
                cumulative_macs=macs,
                main=main,
                shortcut=shortcut,
                shortcut_kind=shortcut_kind,
                on_shortcut=node.index in on_shortcut,
            )
        )
        calls[node.path] += 1
    return rows


def _name(node: Node | None) -> int | str | None:
    """Return how a row names `node` as its source."""
    return node and ("input" if node.index < 0 else node.index)


def _branches(add: Node, nodes: list[Node]) -> tuple[int | str | None, int | str | None, str, set[int]]:
    """Return (main, shortcut, kind of shortcut, rows on the shortcut) of an addition.

    Both operands are followed back to the last row that they share. The shortcut is the branch with fewer layers that
    have parameters, then the one with fewer rows (none: the identity), then the second operand.
    """
    operands = add.sources[:2]
    sides: tuple[set[int], set[int]] = (set(), set())
    seen = tuple({operand.index} for operand in operands)
    heap = sorted(-operand.index for operand in operands)  # the last row comes first
    while heap:
        index = -heappop(heap)
        if index < 0 or (index in seen[0] and index in seen[1]):
            break
        side = 0 if index in seen[0] else 1
        sides[side].add(index)
        for source in nodes[index].sources:
            if source is not None and source.index not in seen[side]:
                seen[side].add(source.index)
                heappush(heap, -source.index)

    def weight(side: int) -> tuple[int, int]:
        layers = sum(1 for i in sides[side] if nodes[i].params or nodes[i].reused)
        return layers, len(sides[side])

    small = 0 if weight(0) < weight(1) else 1
    kind = _shortcut_kind([nodes[i] for i in sides[small]])
    return _name(operands[1 - small]), _name(operands[small]), kind, sides[small]


def _shortcut_kind(rows: list[Node]) -> str:
    """Name what a shortcut does: see `Row.shortcut_kind`."""
    if any(n.params or n.reused for n in rows if n.kind != "parameter"):
        return "projection"
    if any(n.pads or n.kind in PADS for n in rows):
        return "zero_pad"
    same = all(n.kind in ("Identity", "Dropout", "contiguous", "clone", "detach", "to") for n in rows)
    return "identity" if same else "other"
