"""From what was recorded to rows: which operation fed which, where the additions are, and running totals.

Scope: the graph of operations. A `Node` is what the recorder writes down while the model runs; `finish` turns nodes
into `Row`s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from .ops import PADS, Fields, Geometry, field_size
from .rows import Row, Shape


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
    counted: list[int] = field(default_factory=list)  # ids of the parameters in `params`
    into: Node | None = None  # the layer that this operation was collapsed into
    index: int = -1  # -1 is the model's input


def resolve(node: Node | None) -> Node | None:
    """Return the node that stands for `node` in the table: itself, or the layer that swallowed it."""
    while node is not None and node.into is not None:
        node = node.into
    return node


def finish(nodes: list[Node]) -> list[Row]:
    """Return the rows of the recorded nodes, in order, with additions explained and running totals."""
    for index, node in enumerate(nodes):
        node.index = index
    for node in nodes:
        node.sources = tuple(resolve(s) for s in node.sources)
    branches = {n.index: _branches(n, nodes) for n in nodes if n.kind == "add"}
    on_shortcut = {i for _, _, _, side in branches.values() for i in side}
    rows, calls, params, macs = [], {}, 0, 0
    for node in nodes:
        call = calls.get(node.path, 0)
        calls[node.path] = call + 1
        params += node.params
        macs += node.macs
        main, shortcut, shortcut_kind, _ = branches.get(node.index, (None, None, None, ()))
        geometry = node.geometry
        rows.append(
            Row(
                index=node.index,
                path=node.path,
                call=call,
                kind=node.kind,
                inputs=node.inputs,
                outputs=node.outputs,
                sources=tuple(_name(s) for s in node.sources),
                kernel=geometry and geometry.kernel,
                stride=geometry and geometry.stride,
                padding=geometry and geometry.padding,
                dilation=geometry and geometry.dilation,
                groups=geometry and geometry.groups,
                bias=node.bias if geometry is None else geometry.bias,
                params=node.params,
                macs=node.macs,
                activation_bytes=node.activation_bytes,
                receptive_field=field_size(node.fields),
                cumulative_params=params,
                cumulative_macs=macs,
                reused=node.reused,
                main=main,
                shortcut=shortcut,
                shortcut_kind=shortcut_kind,
                on_shortcut=node.index in on_shortcut,
                note=node.note,
            )
        )
    return rows


def _name(node: Node | None) -> int | str | None:
    if node is None:
        return None
    return "input" if node.index < 0 else node.index


def _branches(add: Node, nodes: list[Node]) -> tuple[int | str | None, int | str | None, str, set[int]]:
    """Return (main, shortcut, kind of shortcut, rows on the shortcut) of an addition.

    Both operands are followed back to the last row that they share. An operand that is itself that row has
    nothing on its way: it is the identity. Otherwise the shortcut is the branch with fewer layers that have
    parameters, then the one with fewer rows, then the second operand.
    """
    first, second = add.sources[:2]
    sides: tuple[set[int], set[int]] = (set(), set())
    seen: tuple[set[int], set[int]] = ({first.index}, {second.index})
    heap = [-first.index, -second.index]
    shared = -1
    while heap:
        index = -heappop(heap)
        if index in seen[0] and index in seen[1]:
            shared = index
            break
        side = 0 if index in seen[0] else 1
        if index in sides[side] or index < 0:
            continue
        sides[side].add(index)
        for source in nodes[index].sources:
            if source is not None and source.index not in seen[side]:
                seen[side].add(source.index)
                heappush(heap, -source.index)

    def weight(side: int) -> tuple[int, int]:
        layers = sum(1 for i in sides[side] if nodes[i].params or nodes[i].reused)
        return layers, len(sides[side])

    operands = (first, second)
    if first.index == shared and second.index != shared:
        small = 0
    elif second.index == shared:
        small = 1
    else:
        small = 0 if weight(0) < weight(1) else 1
    shortcut, main = operands[small], operands[1 - small]
    rows = set() if shortcut.index == shared else sides[small]
    return _name(main), _name(shortcut), _shortcut_kind([nodes[i] for i in rows]), rows


def _shortcut_kind(rows: list[Node]) -> str:
    """Name what a shortcut does: see `Row.shortcut_kind`."""
    if any(n.params or n.reused for n in rows if n.kind != "parameter"):
        return "projection"
    if any(n.pads or n.kind in PADS for n in rows):
        return "zero_pad"
    same = all(n.kind in ("Identity", "Dropout", "contiguous", "clone", "detach", "to") for n in rows)
    return "identity" if same else "other"
