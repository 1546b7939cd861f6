"""What all explorers are made of: a widget whose JavaScript does the computing, and a table for when there is none.

Scope: how an explorer shows itself. In JupyterLab, VS Code and Colab it is an ordinary anywidget. In a built page of
the book, book/assets/explorers.js mounts the same module from the state that the page holds. Where no JavaScript runs
(GitHub, a reader who has turned it off) the output is a table of what the explorer shows at first.

Sources
  [1] anywidget's documentation, "Anywidget Front-End Module": the contract of `render({ model, el })`.
  [2] ipywidgets' documentation, "Embedding Jupyter Widgets": the two kinds of JSON in a static page.

--- How a net's line is drawn in an explorer: as in the figures.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from pathlib import Path

import anywidget
import traitlets

from ..figures.style import DASHES, OTHER_DASH, kind_color, net_width

VIEW = "application/vnd.jupyter.widget-view+json"
_OF_ALL = ("layout", "tabbable", "tooltip")  # traits of every widget
STATIC = Path(__file__).parent / "static"


class Whole(traitlets.TraitType):
    """A trait that is a whole number from `least` to `most`; `Whole(18, 8, 152).tag(sync=True)`."""

    def __init__(self, default: int, least: int, most: int, **kwargs: object) -> None:
        self.least, self.most = least, most
        super().__init__(default, **kwargs)

    def validate(self, obj: object, value: object) -> int:
        """Return `value` as an int. Raises `TraitError` that names the value and the limits."""
        try:
            number = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = None
        if number is None or not self.least <= number <= self.most:
            rule = f"a whole number from {self.least} to {self.most}"
            raise traitlets.TraitError(f"`{self.name}` must be {rule}, but it is {value!r}")
        return number


class OneOf(traitlets.TraitType):
    """A trait that is one of `choices`; the first is its default unless another is given."""

    def __init__(self, choices: Sequence[object], default: object = None, **kwargs: object) -> None:
        self.choices = tuple(choices)
        super().__init__(self.choices[0] if default is None else default, **kwargs)

    def validate(self, obj: object, value: object) -> object:
        """Return `value`. Raises `TraitError` that names the value and the choices."""
        same = [c for c in self.choices if c == value and type(c) is type(value)]
        if not same:
            listed = ", ".join(map(repr, self.choices))
            raise traitlets.TraitError(f"`{self.name}` must be one of {listed}, but it is {value!r}")
        return same[0]


class Explorer(anywidget.AnyWidget):
    """Base of all explorers. A subclass names its module and has traits, tagged `sync=True`, and a static table.

        class NetworkExplorer(Explorer):
            _esm = module("network")
            _explorer = traitlets.Unicode("network").tag(sync=True)

            def static_html(self) -> str: ...

    `_explorer` is the name by which a built page finds the module.
    """

    _explorer = traitlets.Unicode().tag(sync=True)

    def __init__(self, **settings: object) -> None:
        known = [name for name in self.trait_names(sync=True) if not name.startswith("_") and name not in _OF_ALL]
        for name in settings:
            if not self.has_trait(name):
                raise TypeError(f"{type(self).__name__} has no setting {name!r}; it has {', '.join(known)}")
        super().__init__(**settings)

    def static_html(self) -> str:
        """Return what a reader without JavaScript sees: HTML with a table of the current setting."""
        raise NotImplementedError(f"{type(self).__name__} must say what it shows without JavaScript")

    def static_text(self) -> str:
        """Return one line for where not even HTML is shown."""
        return f"{type(self).__name__}: shows itself in a notebook (JupyterLab, VS Code, Colab) and in the book's pages"

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict] | None:
        """Return the widget's view, and the static table with a reference to the view for a page without a kernel."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        view = json.dumps(data[VIEW]).replace("</", "<\\/")
        html = (
            f'<div class="rx-output"><script type="{VIEW}">{view}</script>'
            f'<div class="rx-static">{self.static_html()}</div></div>'
        )
        return {**data, "text/plain": self.static_text(), "text/html": html}, metadata


def module(name: str) -> Path:
    """Return the JavaScript module of the explorer called `name`, made by `make widgets`.

    Raises `FileNotFoundError` if it is not there.
    """
    path = STATIC / f"{name}.js"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `make widgets`, which makes it from widgets/src/{name}.js")
    return path


PIXELS = 96 / 72  # CSS pixels in a point


def net_line(kind: str, depth: int, kinds: Sequence[str], depths: Sequence[int]) -> dict[str, object]:
    """Return colour, dash (lengths of strokes and gaps in widths; [] for none) and width (CSS pixels) of a net's line.

    kinds, depths: of all the nets beside it.
    """
    dash = DASHES.get(kind, OTHER_DASH)
    return {
        "color": kind_color(kind, kinds),
        "dash": [] if dash == "-" else list(dash[1]),
        "width": round(net_width(depth, depths) * PIXELS, 2),
    }
