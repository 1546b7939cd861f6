"""One forward pass as rows, and the rows as tables: `trace(model, input)`."""

from .rows import Row, rows_by_size
from .run import Trace, TraceError, trace

__all__ = ["Row", "Trace", "TraceError", "rows_by_size", "trace"]
