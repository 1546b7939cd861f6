"""A question with a commitment: choose, commit, and only then see the answer and why each wrong one tempts.

The questions of the chapters are in `questions.toml`.

Source
  [1] Crouch, Fagen, Callan and Mazur, "Classroom demonstrations: Learning tools or entertainment?", American Journal
      of Physics 72(6), 2004: students who predict before they look understand better than those who only look.
"""

from __future__ import annotations

import hashlib
import html
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import traitlets

from ..support.validate import one_of, whole
from .base import Explorer, Whole, checked, module

QUESTIONS = tomllib.loads(Path(__file__).with_name("questions.toml").read_text(encoding="utf-8"))

MOST_OPTIONS = 8
_MARKS = {"`": "code", "**": "strong", "*": "em"}  # the same three as in src/lib/inline.js


class Quiz(Explorer):
    """A question with options, of which exactly one is right.

        Quiz("What is 2 + 2?", options=[("4", True, "Count."), ("22", False, "That joins the digits.")])

    question: one or two sentences; `code`, **bold** and *emphasis* may be used, here and in the options.
    options:  two to eight of (text, whether it is right, why): for a wrong one, why it tempts and where it goes wrong.
    key:      under which name the browser keeps the commitment, together with the page's path; made from the question
              unless it is given.

    The reader's choice can be read back: `chosen` is the index of the option, -1 as long as there is none, and `shown`
    is whether the answer is to be seen.

    Raises `ValueError` for options that are no question: none or several right, a reason missing, two alike.
    """

    _esm = module("quiz")
    _explorer = traitlets.Unicode("quiz").tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    options = traitlets.List(traitlets.Dict()).tag(sync=True)
    key = traitlets.Unicode().tag(sync=True)
    chosen = Whole(-1, -1, MOST_OPTIONS - 1).tag(sync=True)
    shown = traitlets.Bool(False).tag(sync=True)

    def __init__(self, question: str, options: Iterable[tuple[str, bool, str]], key: str = "") -> None:
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"`question` must be a text, but it is {question!r}")
        key = key or hashlib.sha256(question.encode()).hexdigest()[:12]
        super().__init__(question=question.strip(), options=_check(list(options)), key=key)

    @traitlets.validate("chosen")
    def _chosen_is_an_option(self, proposal: dict) -> int:
        return checked(whole, "chosen", proposal["value"], -1, len(self.options) - 1)

    def static_html(self) -> str:
        """Return question and options as a list, with the answer and the reasons folded."""
        options = "".join(f"<li>{_inline(o['text'])}</li>" for o in self.options)
        right = next(i for i, o in enumerate(self.options) if o["right"])
        reasons = "".join(f"<li>{_inline(o['why'])}</li>" for o in self.options)
        return (
            f'<div class="predict"><p>{_inline(self.question)}</p><ol type="A">{options}</ol>'
            f"<details><summary>Answer</summary><p>{chr(65 + right)} is right.</p>"
            f'<ol type="A">{reasons}</ol></details></div>'
        )


def quiz(name: str) -> Quiz:
    """Return the question of a chapter. Raises `ValueError`, naming those that there are, for another name."""
    return Quiz(**QUESTIONS[one_of("name", name, QUESTIONS)], key=name)


def _check(options: list) -> list[dict[str, object]]:
    """Return the options as dicts. Raises `ValueError` that says what is wrong with them."""
    found = []
    for option in options:
        if [type(part) for part in option] != [str, bool, str] or not (option[0].strip() and option[2].strip()):
            raise ValueError(f"an option must be (text, True or False for right, why), but one is {option!r}")
        found.append({"text": option[0].strip(), "right": option[1], "why": option[2].strip()})
    texts, right = {o["text"] for o in found}, sum(o["right"] for o in found)
    if not 2 <= len(found) <= MOST_OPTIONS or len(texts) < len(found) or right != 1:
        rule = f"`options` must be two to {MOST_OPTIONS} different ones, of which one is right"
        raise ValueError(f"{rule}, but there are {len(found)}, {right} of them right: {', '.join(sorted(texts))}")
    return found


def _inline(text: str) -> str:
    """Return `text` as HTML, with `code`, **bold** and *emphasis*."""
    return re.sub(r"(?s)(`|\*\*|\*)(.+?)\1", lambda m: f"<{_MARKS[m[1]]}>{m[2]}</{_MARKS[m[1]]}>", html.escape(text))
