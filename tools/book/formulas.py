"""A Sphinx extension: formulas are drawn by KaTeX while the book is built, so no page loads a script for them.

KaTeX runs in V8 (mini-racer). A formula becomes HTML and, for screen readers, MathML. One that KaTeX cannot read stops
the build with its name.
"""

from __future__ import annotations

import atexit
import functools
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.math import get_node_equation_number

KATEX = Path(__file__).parent / "vendor" / "katex.min.js"


@functools.cache
def _engine() -> MiniRacer:
    """Return V8 with KaTeX loaded."""
    engine = MiniRacer()
    atexit.register(engine.close)  # otherwise its thread keeps Python from ending
    engine.eval(KATEX.read_text(encoding="utf-8"))
    return engine


def drawn(formula: str, display: bool = False) -> str:
    """Return the HTML of a formula in LaTeX; `display`: on a line of its own. Raises `SphinxError` for what is none."""
    options = json.dumps({"displayMode": display, "strict": "error", "throwOnError": True})
    script = f"""(() => {{
        try {{ return "1" + katex.renderToString({json.dumps(formula)}, {options}); }}
        catch (error) {{ return "0" + error.message; }}
    }})()"""
    answer = _engine().eval(script)
    if answer[0] == "0":
        raise SphinxError(f"KaTeX cannot draw the formula {formula.strip()!r}: {answer[1:]}")
    return answer[1:]


def visit_inline(translator: Any, node: nodes.Node) -> None:
    """Write a formula in a line."""
    translator.body.append(f'<span class="math">{drawn(node.astext())}</span>')
    raise nodes.SkipNode


def visit_display(translator: Any, node: nodes.Node) -> None:
    """Write a formula on a line of its own, with its number if it has one."""
    number = f'<span class="eqno">({get_node_equation_number(translator, node)})</span>' if node["number"] else ""
    # It can be wider than a phone: then it scrolls, by keyboard too.
    start = translator.starttag(node, "div", CLASS="math", tabindex="0", role="group", **{"aria-label": "Formula"})
    translator.body.append(f"{start}{number}{drawn(node.astext(), display=True)}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of it."""
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "version": "1"}
