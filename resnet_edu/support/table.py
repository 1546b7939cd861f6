"""Tables that show themselves: as text, Markdown, CSV, HTML, dictionaries or a pandas DataFrame.

Scope: formatting. What the three views of a trace hold is decided in `table_views.py`.

Source
  [1] W3C, "Tables Tutorial" (Web Accessibility Initiative): caption, scope, a focusable container that scrolls.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Column:
    """One column of a table.

    key:    of its values in each row.
    title:  its heading.
    number: whether it holds numbers, which are right aligned.
    none:   how None is written.
    below:  the key of a column under whose value HTML writes this one's, in small print: a page is narrower than a
            terminal that scrolls.
    """

    key: str
    title: str
    number: bool = False
    none: str = ""
    below: str = ""


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of values with a caption, in the columns that a reader sees.

    caption: one line above the table.
    columns: what is shown, from left to right.
    rows:    one dictionary a row, keyed by `Column.key`.
    total:   the last line, or None.
    classes: for each row the CSS classes of its `<tr>`, such as "is-add".
    records: what `to_dicts` and `to_pandas` return, if that is more than what is shown.
    fields:  the columns of the CSV file, if they are more than what is shown.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[dict[str, object]]
    total: dict[str, object] | None = None
    classes: Sequence[str] = ()
    records: Sequence[dict[str, object]] | None = None
    fields: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def _cells(self) -> list[list[str]]:
        lines = [[_human(row.get(c.key), c.none) for c in self.columns] for row in self.rows]
        if self.total is not None:
            lines.append([_human(self.total.get(c.key), "") for c in self.columns])
        return lines

    def to_text(self) -> str:
        """Return the table in columns of plain text; numbers are right aligned."""
        cells = self._cells()
        titles = [c.title for c in self.columns]
        widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]

        def line(values: Sequence[str]) -> str:
            parts = [
                v.rjust(w) if c.number else v.ljust(w) for v, w, c in zip(values, widths, self.columns, strict=True)
            ]
            return "  ".join(parts).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        body = [line(c) for c in cells]
        if self.total is not None:
            body.insert(-1, rule)
        return "\n".join([self.caption, "", line(titles), rule, *body])

    def to_markdown(self) -> str:
        """Return a Markdown table; numbers are right aligned, `|` in a cell is escaped."""

        def line(values: Sequence[str]) -> str:
            return "| " + " | ".join(v.replace("|", "\\|").replace("\n", " ") for v in values) + " |"

        rule = "|" + "|".join(" ---: " if c.number else " --- " for c in self.columns) + "|"
        cells = self._cells()
        if self.total is not None:
            cells[-1] = [f"**{v}**" if v else "" for v in cells[-1]]
        return "\n".join([line([c.title for c in self.columns]), rule, *map(line, cells)])

    def to_csv(self) -> str:
        """Return comma-separated values with a header; no total line, so that columns can be added up."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if self.fields is not None:
            writer.writerow(self.fields)
            writer.writerows([_machine(r.get(f), "") for f in self.fields] for r in self.to_dicts())
        else:
            writer.writerow(c.key for c in self.columns)
            writer.writerows([_machine(r.get(c.key), c.none) for c in self.columns] for r in self.rows)
        return out.getvalue()

    def to_html(self) -> str:
        """Return the table in a container that scrolls and can be focused; colours are the page's."""
        caption = escape(self.caption)
        own = [c for c in self.columns if not c.below]
        head = "".join(f'<th scope="col"{_aligned(c.number)}>{escape(c.title)}</th>' for c in own)
        cells = self._cells()
        body = []
        for i, _ in enumerate(self.rows):
            css = self.classes[i] if i < len(self.classes) else ""
            body.append(
                f"<tr{f' class={chr(34)}{escape(css)}{chr(34)}' if css else ''}>{self._html_row(cells[i])}</tr>"
            )
        foot = f"<tfoot><tr>{self._html_row(cells[-1])}</tr></tfoot>" if self.total is not None else ""
        return (
            f'<div class="resnet-trace-scroll" tabindex="0" role="region" aria-label="{caption}" '
            f'style="overflow-x: auto"><table class="resnet-trace"><caption>{caption}</caption>'
            f"<thead><tr>{head}</tr></thead>\n<tbody>" + "\n".join(body) + f"</tbody>{foot}</table></div>"
        )

    def _html_row(self, cells: Sequence[str]) -> str:
        small = {c.below: f" <small>{escape(v)}</small>" for v, c in zip(cells, self.columns, strict=True) if v}
        return "".join(
            f"<td{_aligned(c.number)}>{escape(v).replace(chr(10), '<br>')}{small.get(c.key, '')}</td>"
            for v, c in zip(cells, self.columns, strict=True)
            if not c.below
        )

    def to_dicts(self) -> list[dict[str, object]]:
        """Return one dictionary a row, with plain values: numbers, strings, lists, None."""
        if self.records is not None:
            return [dict(r) for r in self.records]
        return [{c.key: _plain(r.get(c.key)) for c in self.columns} for r in self.rows]

    def to_pandas(self) -> pandas.DataFrame:
        """Return a DataFrame of `to_dicts`. Raises `ImportError` if pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas, which is not installed: pip install pandas") from error
        return pandas.DataFrame(self.to_dicts())

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__  # the prompt of Python shows the table, as a notebook does

    def _repr_html_(self) -> str:
        return self.to_html()


def _aligned(number: bool) -> str:
    return ' style="text-align: right"' if number else ' style="text-align: left"'


def _human(value: object, none: str) -> str:
    """Write a value for a reader: 1,234,567; 3x3; blank for None."""
    if value is None:
        return none
    if isinstance(value, bool):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _machine(value: object, none: str) -> object:
    """Write a value for a program: no separators, shapes as 1x3x224x224, several of them separated by spaces."""
    if value is None:
        return none
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], (list, tuple)):
            return " ".join(_machine(v, none) or "scalar" for v in value)
        return "x".join("" if v is None else str(v) for v in value)
    return value


def _plain(value: object) -> object:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
