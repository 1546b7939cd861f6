"""What all explorers are made of: a widget whose JavaScript does the computing, and a table for when there is none.

In JupyterLab, VS Code and Colab an explorer is an ordinary anywidget ([1]). In a built page of the book,
book/assets/explorers.js mounts the same module from the state that the page holds ([2]). Where no JavaScript runs
(GitHub, a reader who has turned it off) the output is a table of what the explorer shows at first.

Sources
  [1] anywidget's documentation, "Anywidget Front-End Module": the contract of `render({ model, el })`.
  [2] ipywidgets' documentation, "Embedding Jupyter Widgets": the two kinds of JSON in a static page.
  [3] IPython's documentation, `display`: all representations are sent, and front ends decide which of them is used.
  [4] github.com/microsoft/vscode-python/issues/11880: the order of VS Code, "application/vnd.*" before "text/html".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import traitlets

from ..figures.style import DASHES, OTHER_DASH, kind_color, net_width
from ..support.validate import whole

VIEW = "application/vnd.jupyter.widget-view+json"
STATIC = Path(__file__).parent / "static"
PIXELS = 96 / 72  # CSS pixels in a point
_OF_ALL = ("layout", "tabbable", "tooltip")  # traits of every widget


def checked(rule: Callable, *arguments: object) -> object:
    """Return `rule(*arguments)`; its `TypeError` or `ValueError` is raised as `TraitError`."""
    try:
        return rule(*arguments)
    except (TypeError, ValueError) as error:
        raise traitlets.TraitError(str(error)) from None


class Whole(traitlets.TraitType):
    """A trait that is a whole number, also one of NumPy's, from `least` to `most`."""

    def __init__(self, default: int, least: int, most: int, **kwargs: object) -> None:
        self.least, self.most = least, most
        super().__init__(default, **kwargs)

    def validate(self, obj: object, value: object) -> int:
        """Return `value` as an int. Raises `TraitError` that names the value and the limits."""
        return checked(whole, self.name, value, self.least, self.most)


class Explorer(anywidget.AnyWidget):
    """Base of all explorers: a subclass has traits, tagged `sync=True`, `static_html`, and `_esm = module(...)`."""

    _explorer = traitlets.Unicode().tag(sync=True)  # the name by which a built page finds the module

    def __init__(self, **settings: object) -> None:
        for name in settings:
            if not self.has_trait(name):
                known = [t for t in self.trait_names(sync=True) if not t.startswith("_") and t not in _OF_ALL]
                raise TypeError(f"{type(self).__name__} has no setting {name!r}; it has {', '.join(known)}")
        super().__init__(**settings)

    def static_html(self) -> str:
        """Return what a reader without JavaScript sees: HTML with a table of the current setting."""
        raise NotImplementedError

    def static_text(self) -> str:
        """Return one line for where not even HTML is shown."""
        return f"{type(self).__name__}: shows itself in a notebook (JupyterLab, VS Code, Colab) and in the book's pages"

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict] | None:
        """Return the widget's view, and the static table with a reference to the view for a page without a kernel.

        Which of them is shown is the front end's choice ([3]). JupyterLab (rank -10 against 50) and VS Code ([4])
        show the view. Colab does not say what it shows: there the view is alone, so that no explorer is a dead table.
        """
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        if "google.colab" in sys.modules:
            return {**data, "text/plain": self.static_text()}, metadata
        view = json.dumps(data[VIEW]).replace("</", "<\\/")
        html = (
            f'<div class="rx-output"><script type="{VIEW}">{view}</script>'
            f'<div class="rx-static">{self.static_html()}</div></div>'
        )
        return {**data, "text/plain": self.static_text(), "text/html": html}, metadata


class Laboratory(Explorer):
    """Base of explorers that compute in a worker: a built page loads its script, a kernel hands it over."""

    _worker = traitlets.Unicode().tag(sync=True)  # its source
    _engine = ""  # the explorer whose worker it is, if it is another's

    @traitlets.default("_worker")
    def _worker_source(self) -> str:
        return (STATIC / f"{self._engine or self._explorer}.worker.js").read_text(encoding="utf-8")


def module(name: str) -> Path:
    """Return the JavaScript module of the explorer called `name`, made by `make widgets`.

    Raises `FileNotFoundError` if it is not there.
    """
    path = STATIC / f"{name}.js"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `make widgets`, which makes it from src/{name}.js")
    return path


def net_line(kind: str, depth: int, depths: Sequence[int]) -> dict[str, object]:
    """Return colour, dash (lengths of strokes and gaps in widths; [] for none) and width (CSS pixels) of a net's line.

    depths: of all the nets beside it.
    """
    dash = DASHES.get(kind, OTHER_DASH)
    return {
        "color": kind_color(kind),
        "dash": [] if dash == "-" else list(dash[1]),
        "width": round(net_width(depth, depths) * PIXELS, 2),
    }
