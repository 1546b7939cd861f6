"""The rows of a trace, sorted by the size of the map that they put out: where a net spends its parameters and MACs.

Scope: grouping alone. A stage of the paper is a run of blocks on one map size; a net without blocks, such as VGG, has
map sizes too, so that nets of both kinds can be compared.

Source
  [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016: "output size" in Table 1 and figure 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .trace_rows import Row, Shape

if TYPE_CHECKING:
    from .trace import Trace


def rows_by_size(trace: Trace) -> dict[str, list[Row]]:
    """Return size -> rows with an output of that size, the largest map first; every row is in one of them.

    A size is written "56×56". A vector, (B, features), counts as "1×1", as in the paper's Table 1.

    Raises `ValueError` for a row whose output is neither a map, (B, C, H, W), nor a vector.
    """
    found: dict[Shape, list[Row]] = {}
    for row in trace.rows:
        shape = row.output_shape
        if shape is None or len(shape) not in (2, 4):
            raise ValueError(
                f"rows can be sorted by map size if they put out (B, C, H, W) or (B, features), but {row.path!r} "
                f"({row.kind}) puts out {shape}: trace the convolutional part of the net"
            )
        found.setdefault(shape[2:] or (1, 1), []).append(row)
    return {"×".join(map(str, size)): found[size] for size in sorted(found, key=math.prod, reverse=True)}
