"""A trace as the network explorer's JavaScript takes it: rows without what is usual, and the parts that are drawn.

Scope: the data of a read-only view. The rows of the paper's nets are computed in JavaScript instead.
"""

from __future__ import annotations

from dataclasses import MISSING, fields

from ..table_views import find_stages
from ..trace import Trace
from ..trace_rows import Row

_USUAL = {f.name: f.default for f in fields(Row) if f.default is not MISSING}
_DERIVED = ("index", "cumulative_params", "cumulative_macs")  # engine.js counts them again


def compact(rows: list[Row]) -> list[dict[str, object]]:
    """Return the rows as dictionaries without derived fields and without values that are a field's default."""
    full = [row.to_dict() for row in rows]
    return [
        {k: v for k, v in row.items() if k not in _DERIVED and not (k in _USUAL and v == _USUAL[k])} for row in full
    ]


def parts(trace: Trace) -> list[dict[str, object]]:
    """Return what is drawn as one slab each: name, stage, first and last row, output shape, whether it is a block.

    The blocks of a net with stages, and its stem and head around them; in other models every layer that has a window
    or is linear begins a part, and what follows it belongs to it.
    """
    if not trace.rows:
        return []
    begins: dict[int, tuple[str, str, bool]] = {0: (trace.rows[0].path, "", False)}
    stages = find_stages(trace)
    for stage in stages:
        begins |= {block.rows[0].index: (block.path, f"{stage.name}_x", True) for block in stage.blocks}
    if stages:
        first, last = min(i for i in begins if i), stages[-1].blocks[-1].rows[-1].index
        begins[0] = ("conv1", "conv1", False)
        begins |= {r.index: (r.path, "conv2_x", False) for r in trace.rows[:first] if r.kernel and r.groups is None}
        begins |= {r.index: ("head", "head", False) for r in trace.rows[last + 1 : last + 2]}
    else:
        begins |= {r.index: (r.path, "", False) for r in trace.rows if r.kernel or r.kind == "Linear"}
    order = sorted(begins)
    ends = [*(i - 1 for i in order[1:]), len(trace.rows) - 1]
    return [
        {
            "name": name,
            "stage": stage,
            "first": i,
            "last": end,
            "shape": _shape(trace.rows[i : end + 1]),
            "isBlock": block,
        }
        for (name, stage, block), i, end in zip((begins[i] for i in order), order, ends, strict=True)
    ]


def _shape(rows: list[Row]) -> list[int]:
    """Return the shape of the last tensor that came out of `rows`, or an empty one."""
    return list(next((row.outputs[0] for row in reversed(rows) if row.outputs), ()))
