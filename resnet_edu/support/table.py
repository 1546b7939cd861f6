"""Tables that show themselves: as text, Markdown, CSV, HTML or dictionaries.

Source
  [1] W3C, "Tables Tutorial" (Web Accessibility Initiative): caption, scope, a focusable container that scrolls.
"""

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 110  # columns, of the notes below a table of text
# The line of an addition stands out in any notebook, by a tint and a bar; a page of the book has its own two colours.
ADDITION = "background: var(--book-add-bg, #b4491a24); box-shadow: inset 4px 0 0 var(--book-add, #b4491a)"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    key:   of its values in each row.
    below: the key of a column under whose value HTML writes this one's, in small print: a page is narrower than a
           terminal that scrolls.
    """

    key: str
    title: str
    number: bool = False  # right aligned
    none: str = ""  # how None is written
    below: str = ""


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of values with a caption, in the columns that a reader sees.

    rows:    one dictionary a row, keyed by `Column.key`.
    classes: for each row the CSS classes of its `<tr>`, such as "is-add".
    records: what `to_dicts` returns, if that is more than what is shown.
    fields:  the columns of the CSV file, if they are more than what is shown.
    results: whether it is a table of results, whose first column names the row: `.resnet-table` in style sheets. The
             others, listings of a net, are `.resnet-trace`.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[dict[str, object]]
    total: dict[str, object] | None = None
    classes: Sequence[str] = ()
    records: Sequence[dict[str, object]] | None = None
    fields: Sequence[str] | None = None
    notes: Sequence[str] = ()
    results: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self) -> list[list[str]]:
        """Return the rows as text, the total last."""
        lines = [[_for_reader(row.get(c.key), c.none) for c in self.columns] for row in self.rows]
        if self.total is not None:
            lines.append([_for_reader(self.total.get(c.key), "") for c in self.columns])
        return lines

    def to_text(self) -> str:
        """Return the table in columns of plain text, and its notes; numbers are right aligned."""
        cells = self.cells()
        titles = [c.title for c in self.columns]
        widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]

        def line(values: Sequence[str]) -> str:
            aligned = (
                v.rjust(w) if c.number else v.ljust(w) for v, w, c in zip(values, widths, self.columns, strict=True)
            )
            return "  ".join(aligned).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        body = [line(c) for c in cells]
        if self.total is not None:
            body.insert(-1, rule)
        notes = ["", *(textwrap.fill(note, WIDTH) for note in self.notes)] if self.notes else []
        return "\n".join([self.caption, "", line(titles), rule, *body, *notes])

    def to_markdown(self) -> str:
        """Return a Markdown table and a list of its notes; numbers are right aligned, `|` in a cell is escaped."""

        def line(values: Sequence[str]) -> str:
            return "| " + " | ".join(v.replace("|", "\\|").replace("\n", " ") for v in values) + " |"

        rule = "|" + "|".join(" ---: " if c.number else " --- " for c in self.columns) + "|"
        cells = self.cells()
        if self.total is not None:
            cells[-1] = [f"**{v}**" if v else "" for v in cells[-1]]
        notes = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join([line([c.title for c in self.columns]), rule, *map(line, cells), *notes])

    def to_csv(self) -> str:
        """Return comma-separated values with a header; no total line, so that columns can be added up."""
        names = self.fields or [c.key for c in self.columns]
        none = {c.key: c.none for c in self.columns}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_for_program(row.get(n), none.get(n, "")) for n in names] for row in self.to_dicts())
        return out.getvalue()

    def to_html(self) -> str:
        """Return the table in a container that scrolls and can be focused ([1]), and its notes; colours are the page's.

        It is a group, not a region: a page may have several tables with one caption.
        """
        css = "resnet-table" if self.results else "resnet-trace"
        caption = escape(self.caption)
        head = "".join(f'<th scope="col"{_aligned(c)}>{escape(c.title)}</th>' for c in self.columns if not c.below)
        lines = [self._html_cells(c) for c in self.cells()]
        foot = f"<tfoot><tr>{lines.pop()}</tr></tfoot>" if self.total is not None else ""
        classes = [_row(c) for c in self.classes] or [""] * len(lines)
        body = "\n".join(f"<tr{c}>{line}</tr>" for c, line in zip(classes, lines, strict=True))
        return (
            f'<div class="{css}-scroll" tabindex="0" role="group" aria-label="{caption}" style="overflow-x: auto">'
            f'<table class="{css}"><caption>{caption}</caption><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{body}</tbody>{foot}</table></div>"
            # On a phone a line has no room for a whole address.
            + "".join(f'<p style="overflow-wrap: anywhere">{escape(note)}</p>' for note in self.notes)
        )

    def _html_cells(self, cells: Sequence[str]) -> str:
        small = {c.below: f" <small>{escape(v)}</small>" for v, c in zip(cells, self.columns, strict=True) if v}
        parts = [
            f"<td{_aligned(c)}>{escape(v).replace(chr(10), '<br>')}{small.get(c.key, '')}</td>"
            for v, c in zip(cells, self.columns, strict=True)
            if not c.below
        ]
        if self.results:
            parts[0] = f'<th scope="row">{escape(cells[0])}</th>'
        return "".join(parts)

    def to_dicts(self) -> list[dict[str, object]]:
        """Return one dictionary a row, with plain values: numbers, strings, lists, None."""
        if self.records is not None:
            return [dict(r) for r in self.records]
        return [{c.key: plain(r.get(c.key)) for c in self.columns} for r in self.rows]

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__  # the prompt of Python shows the table, as a notebook does

    def _repr_html_(self) -> str:
        return self.to_html()


class TableList(list):
    """A list that shows itself as a table, which a subclass makes of it."""

    def table(self) -> Table:
        """Return the table of what is in the list."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.table().to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table().to_html()


def _row(css: str) -> str:
    style = f' style="{ADDITION}"' if "is-add" in css.split() else ""
    return f' class="{escape(css)}"{style}' if css else ""


def _aligned(column: Column) -> str:
    return f' style="text-align: {"right" if column.number else "left"}"'


def _for_reader(value: object, none: str) -> str:
    """Return a value as text, with separators between thousands."""
    if value is None:
        return none
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _for_program(value: object, none: str) -> object:
    """Return a value without separators; a shape is 1x3x224x224, several of them have spaces between."""
    if value is None:
        return none
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], (list, tuple)):
            return " ".join(_for_program(v, none) or "scalar" for v in value)
        return "x".join("" if v is None else str(v) for v in value)
    return value


def plain(value: object) -> object:
    """Return `value` with lists in the place of tuples, at any depth, as JSON has them."""
    return [plain(v) for v in value] if isinstance(value, tuple) else value
