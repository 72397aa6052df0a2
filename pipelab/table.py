"""Table: rows of values that show themselves as aligned text, HTML or Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import zip_longest
from math import isfinite, isnan
from numbers import Number, Rational
from typing import Any, Generic, TypeVar, overload
from unicodedata import east_asian_width

R = TypeVar("R")  # a row, as it was given
Format = str | Callable[[Any], str]


class Table(Generic[R]):
    """Rows that print as aligned text and show themselves as HTML in a notebook; the values stay as they were given.

    Numbers stand to the right and text to the left. Whole numbers are shown in full, others with four significant
    digits, True and False as yes and no, None as nothing, NaN as –, a list as its items.

    Parameters
    ----------
    rows : iterable of mappings, sequences or objects; or one mapping
        One mapping makes two columns without headings: its keys and its values.
    columns : sequence of str, or mapping of str to function, optional
        The headings: keys of the mappings, attributes of the objects, or names for the items of the sequences. A
        function computes a cell from its row. Default: the keys of the mappings; no headings for sequences.
    formats : mapping of str to str or function, optional
        How numbers are shown: a format spec (".1%"), a template ("{:.0f} ms"), or a function of any value but text. The
        key is a column's name, or the first cell of a row.
    meanings : mapping of str to str, optional
        Tooltips, with the same keys.
    align : mapping of str to str, optional
        "left" or "right", for columns whose values should not decide.
    emphasis : iterable of int, or function of a row, optional
        Which rows stand out: their numbers, or a function that is true for them.
    notes : iterable of str, optional
        Lines below the table.
    title : str, optional
        A line above it.

    Raises
    ------
    ValueError
        For a row that does not fit the columns, and for a column, format or alignment whose name is unknown.

    Examples
    --------
    >>> table = Table([{"schedule": "gpipe", "bubble": 3 / 11}, {"schedule": "zb-h1", "bubble": 1 / 9}],
    ...               formats={"bubble": ".1%"}, emphasis=lambda row: row["bubble"] < 0.2)
    >>> table
    schedule  bubble
    gpipe      27.3%
    zb-h1      11.1%  ←
    >>> table["gpipe"], table.column("bubble")[0] == 3 / 11
    ({'schedule': 'gpipe', 'bubble': 0.2727272727272727}, True)
    """

    def __init__(
        self,
        rows: Iterable[R] | Mapping[Any, Any],
        columns: Sequence[str] | Mapping[str, Callable[[R], Any]] | None = None,
        *,
        formats: Mapping[str, Format] | None = None,
        meanings: Mapping[str, str] | None = None,
        align: Mapping[str, str] | None = None,
        emphasis: Iterable[int] | Callable[[R], bool] = (),
        notes: Iterable[str] = (),
        title: str = "",
    ) -> None:
        formats, align = formats or {}, align or {}
        self.rows: tuple[R, ...] = tuple(rows.items() if isinstance(rows, Mapping) else rows)  # type: ignore[arg-type]
        self.columns, self._values = _cells(self.rows, columns)
        self.notes, self.title, self._meanings = tuple(notes), title, dict(meanings or {})
        if callable(emphasis):
            emphasis = [number for number, row in enumerate(self.rows) if emphasis(row)]
        self._emphasis = frozenset(range(len(self))[number] for number in emphasis)  # -1 is the last row
        self._heads = [row[0] if row and isinstance(row[0], str) else "" for row in self._values]
        _require(formats, [*self.columns, *self._heads], "format")
        _require(align, self.columns, "alignment")
        numeric = map(_are_figures, zip(*self._values, strict=True) if self._values else ((),) * len(self.columns))
        self._sides = [
            align.get(name, "right" if figures else "left") for name, figures in zip(self.columns, numeric, strict=True)
        ]
        self._texts = [
            [_text(value, formats.get(head, formats.get(name))) for name, value in zip(self.columns, row, strict=True)]
            for head, row in zip(self._heads, self._values, strict=True)
        ]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            raise AttributeError(f"a Table does not change; {name} is set already")
        super().__setattr__(name, value)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: int | str) -> R: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[R, ...]: ...
    def __getitem__(self, key: int | str | slice) -> R | tuple[R, ...]:
        """The row, as it was given, of that number, or that begins with that text."""
        if not isinstance(key, str):
            return self.rows[key]
        for head, row in zip(self._heads, self.rows, strict=True):
            if head == key:
                return row
        raise KeyError(key)

    def column(self, name: str) -> tuple[Any, ...]:
        """The values in a column, as they were given."""
        _require([name], self.columns, "column")
        return tuple(row[self.columns.index(name)] for row in self._values)

    def __str__(self) -> str:
        """Aligned text of any width; ← marks the rows that stand out."""
        grid = [[cell.splitlines() or [""] for cell in row] for row in (self.columns, *self._texts)]
        widths = [max(_width(line) for cell in column for line in cell) for column in zip(*grid, strict=True)]
        lines = [self.title] if self.title else []
        for number, row in enumerate(grid, -1):
            mark = "  ←" if number in self._emphasis else ""
            for parts in zip_longest(*row, fillvalue="") if number >= 0 or any(self.columns) else ():
                lines.append("  ".join(map(_padded, parts, widths, self._sides)).rstrip() + mark)
                mark = ""
        return "\n".join([*lines, *self.notes])

    __repr__ = __str__  # a notebook keeps it beside the HTML

    def _repr_html_(self) -> str:
        """For light and dark pages and for screen readers; a cell's value may have a `_repr_html_` of its own."""
        head = body = ""
        for name, side in zip(self.columns, self._sides, strict=True):
            tag = 'th scope="col"' if name else "td"
            head += _cell(tag, side, escape(name), self._meanings.get(name), "font-weight:bold")
        for number, (values, texts) in enumerate(zip(self._values, self._texts, strict=True)):
            strong = "font-weight:bold;background:rgba(128,128,128,.2)" if number in self._emphasis else ""
            body += f'<tr style="{strong}">' if strong else "<tr>"
            for i, (value, text, side) in enumerate(zip(values, texts, self._sides, strict=True)):
                inside = value._repr_html_() if hasattr(value, "_repr_html_") else escape(text)
                told = None if i else self._meanings.get(text)
                body += _cell("td" if i else 'th scope="row"', side, inside, told, "font-weight:inherit")
            body += "</tr>"
        style = "text-align:left;white-space:nowrap"
        title = f'<caption style="{style}">{escape(self.title)}</caption>' if self.title else ""
        rule = "border-bottom:1px solid var(--jp-border-color1,currentColor)"
        head = f'<thead><tr style="{rule}">{head}</tr></thead>' if any(self.columns) else ""
        style = "margin:0;border-collapse:collapse;color:inherit;font-size:inherit;line-height:1.5"
        style += ";font-variant-numeric:tabular-nums"
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f'<table style="{style}">{title}{head}<tbody>{body}</tbody></table>{notes}'

    def to_markdown(self) -> str:
        """As a table of GitHub's Markdown, where the rows that stand out are bold."""
        rows = [[_escaped(cell) for cell in row] for row in self._texts]
        for number in self._emphasis:
            rows[number] = [f"**{cell}**" if cell else "" for cell in rows[number]]
        rules = [{"left": ":--", "right": "--:"}[side] for side in self._sides]
        lines = [f"| {' | '.join(row)} |" for row in ([*map(_escaped, self.columns)], rules, *rows)]
        title = [f"**{_escaped(self.title)}**", ""] if self.title else []
        return "\n".join([*title, *lines, *(f"\n{_escaped(note)}" for note in self.notes)])


class ShownAsTable:
    """A base of results that have a `table`, and show themselves as it: printed, and in a notebook."""

    @property
    def table(self) -> Table[Any]:
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def _cells(rows: Sequence[Any], columns: Any) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The names of the columns, and every row's values in their order."""
    if isinstance(columns, Mapping):
        return tuple(columns), [tuple(value(row) for value in columns.values()) for row in rows]
    rows = [row._asdict() if hasattr(row, "_asdict") else row for row in rows]
    keys = dict.fromkeys(key for row in rows if isinstance(row, Mapping) for key in row)
    if columns is None:
        columns = keys or [""] * (len(rows[0]) if rows and hasattr(rows[0], "__len__") else 0)
    elif keys:
        _require(columns, keys, "column")
    cells = []
    for row in rows:
        if isinstance(row, Mapping):
            cells.append(tuple(map(row.get, columns)))
        elif isinstance(row, list | tuple) or hasattr(row, "tolist"):
            cells.append(tuple(row))
        else:
            cells.append(tuple(getattr(row, name) for name in columns if name))
        if len(cells[-1]) != len(columns):
            raise ValueError(f"a row has {len(cells[-1])} values, but there are {len(columns)} columns: {row!r}")
    return tuple(map(str, columns)), cells


def _require(names: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{what} of {name!r}: there are only {', '.join(filter(None, map(str, known)))}")


def _are_figures(values: Iterable[Any]) -> bool:
    """Are they numbers, or lists of numbers, as far as they are anything?"""
    plain = [value.tolist() if hasattr(value, "tolist") else value for value in values]
    found = [value for value in plain if value is not None and value != ""]
    return bool(found) and all(map(_is_figure, found))


def _is_figure(value: Any) -> bool:
    if type(value) in (list, tuple):
        return _are_figures(value)
    return isinstance(value, Number) and not isinstance(value, bool)


def _text(value: Any, form: Format | None = None) -> str:
    if isinstance(value, str):
        return value
    value = value.tolist() if hasattr(value, "tolist") else value  # NumPy's and PyTorch's scalars and arrays
    if callable(form):
        return form(value)
    if type(value) in (list, tuple):  # not a NamedTuple, which knows how it is written
        nested = any(type(item) in (list, tuple) for item in value)
        return (" · " if nested else " ").join(_text(item, form) for item in value)
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if not isinstance(value, Number):
        return str(value)
    if isinstance(value, Rational) and not isinstance(value, int):
        value = float(value)
    if isinstance(value, float) and not isfinite(value):
        return "–" if isnan(value) else "∞" if value > 0 else "-∞"
    if form:
        return form.format(value) if "{" in form else format(value, form)
    if isinstance(value, float):
        return f"{value:.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"
    return str(value)


def _width(text: str) -> int:
    """In columns of a terminal."""
    return sum(1 + (east_asian_width(character) in "WF") for character in text)


def _padded(text: str, width: int, side: str) -> str:
    space = " " * (width - _width(text))
    return space + text if side == "right" else text + space


def _cell(tag: str, side: str, inside: str, meaning: str | None, style: str) -> str:
    style += f";text-align:{side};vertical-align:top;padding:2px 12px"
    style += ";white-space:" + ("nowrap" if side == "right" else "pre-line")
    told = f' title="{escape(meaning)}"' if meaning else ""
    style += ";cursor:help;text-decoration:underline dotted" if told else ""
    return f'<{tag}{told} style="{style}">{inside}</{tag.split()[0]}>'


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*_`~\[<])", r"\\\1", text).replace("\n", "<br>")
