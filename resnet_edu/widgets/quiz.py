"""The questions of the chapters, each with why its wrong answers tempt.

Scope: the text. It stands here and not in the notebooks, where the answer would be read before the question.
`tests/test_widget_quiz.py` works out every right answer by running the nets.

--- A question with a commitment: choose, commit, and only then see the answer and why each wrong one tempts.

Scope: the widget and its check. The questions of the chapters are in `questions.py`.

Source
  [1] Crouch, Fagen, Callan and Mazur, "Classroom demonstrations: Learning tools or entertainment?", American Journal
      of Physics 72(6), 2004: students who predict before they look understand better than those who only look.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable

import traitlets

from .base import Explorer, Whole, module

QUESTIONS: dict[str, tuple[str, list[tuple[str, bool, str]]]] = {
    "which-net": (
        "**Predict.** Both networks have been trained. Which one makes fewer mistakes *on the very images that it was "
        "trained on*?",
        [
            (
                "The one with 56 layers.",
                False,
                "It has three times as many weights, so it *can* fit more. But what a network could do and what "
                "training finds are two things.",
            ),
            (
                "Both make about the same number of mistakes.",
                False,
                "36 layers that do nothing would give just this, and such layers exist. But training has to find them.",
            ),
            (
                "The one with 20 layers.",
                True,
                "Hard to believe, and so it was in 2015. It is not overfitting either, because these are the training "
                "images.",
            ),
        ],
    ),
    "first-gradient": (
        "**Predict.** We take one batch, compute the loss of the *untrained* plain-56, and go back. How long is the "
        "gradient at the first convolution, compared with the last one?",
        [
            (
                "Much shorter.",
                False,
                "A product of 56 small factors would be tiny, which is how it is often told. But with batch "
                "normalisation the factors are not small here.",
            ),
            (
                "About as long.",
                False,
                "Batch normalisation keeps the signal's size on the way forward, so one may expect the same of the way "
                "back. It does not follow.",
            ),
            (
                "Much longer.",
                True,
                "At the start of training it grows in the backward pass, by a little at each layer: it explodes rather "
                "than vanishes.",
            ),
        ],
    ),
    "zeroed-block": (
        "**Predict.** Take a plain block and a residual block, and set the scale of the last batch normalisation to "
        "zero: whatever the layers compute, they pass on 0. What does each *block* pass on?",
        [
            (
                "Both pass on zeros.",
                False,
                "That is right for the layers. The residual block has a way around them.",
            ),
            (
                "The plain block zeros, the residual block its input.",
                True,
                "The shortcut brings the input to the addition, and adding 0 changes nothing.",
            ),
            (
                "Both pass on their input.",
                False,
                "To pass on its input, a plain block needs weights that compute it. Zero is not the weight of doing "
                "nothing.",
            ),
        ],
    ),
    "early-relu": (
        "**Predict.** A block has a ReLU at the end of its branch, *before* the addition. What does that do to the "
        "signal after many such blocks?",
        [
            (
                "It keeps growing, because the branch can only add.",
                True,
                "After a ReLU, *F(x)* is never negative: each block pushes the values up, and none can take away.",
            ),
            (
                "Nothing, since a ReLU follows the addition anyway.",
                False,
                "Two ReLUs in a row are one, but there is an addition between these two: what the first cuts off "
                "cannot be subtracted any more.",
            ),
            (
                "It dies out, because ReLU cuts away half of the values.",
                False,
                "That would be so in a plain block without normalisation. Here the shortcut carries the input past the "
                "ReLU, whole.",
            ),
        ],
    ),
    "hundred-pixels": (
        "**Predict.** A map of 224×224 pixels is halved five times, and 7×7 are left. What is left of 100×100?",
        [
            ("3×3", False, "100 / 32 is 3.125, rounded down. But each of the five halvings rounds for itself, and up."),
            ("4×4", True, "100, 50, 25, 13, 7, 4: with kernel 3 and padding 1, odd sizes are rounded up."),
            ("7×7", False, "The 7 is not built into the network. It comes from 224, five halvings later."),
            (
                "An error: 100 cannot be halved five times.",
                False,
                "No convolution insists on even sizes: 25 becomes 13.",
            ),
        ],
    ),
    "far-sight": (
        "**Predict.** Whose last feature map sees farther into the image, that of ResNet-34 or that of ResNet-50?",
        [
            (
                "ResNet-50's: it is deeper.",
                False,
                "Depth counts only where kernels are larger than 1×1. Of the three in a bottleneck, one is.",
            ),
            (
                "ResNet-34's.",
                True,
                "All convolutions on its main path are 3×3, except for the larger stem; more of them widen the field.",
            ),
            (
                "Both alike: they halve the image equally often.",
                False,
                "The halvings multiply what the kernels add. Equal factors on different sums give different fields.",
            ),
        ],
    ),
    "vgg-or-34": (
        "**Predict.** VGG-19 has 19 layers with weights, plain-34 has 34. Both take an image of 224×224 pixels. Which "
        "one needs more multiply-adds?",
        [
            (
                "Plain-34, about twice as many: it has nearly twice the layers.",
                False,
                "It would be so if layers cost the same in both. A layer's cost goes with its channels, in and out, "
                "and with the pixels of its map.",
            ),
            (
                "Both about the same.",
                False,
                "The design rules keep the cost of a layer the same *within* plain-34. They do not tie it to VGG's.",
            ),
            (
                "VGG-19, more than five times as many.",
                True,
                "It works on large maps for longer, and where both have 3×3 layers it has two or four times the "
                "channels.",
            ),
        ],
    ),
    "swap-the-head": (
        "**Predict.** We take the three linear layers out of VGG-19 and put the head of a ResNet there: the mean of "
        "each map, and one linear layer. What does the network lose?",
        [
            (
                "Most of its parameters and most of its multiply-adds.",
                False,
                "The parameters, yes. But each weight of a linear layer is used once an image, so few multiply-adds go "
                "with them.",
            ),
            (
                "Most of its parameters, hardly any multiply-adds.",
                True,
                "A linear layer has very many weights and uses each only once; a convolution uses each at every pixel.",
            ),
            (
                "Hardly any parameters, most of its multiply-adds.",
                False,
                "The other way round. The convolutions do the work, with few weights, each used at every pixel.",
            ),
            (
                "Little of either: 16 of its 19 layers stay.",
                False,
                "Counting layers says little about cost. The first linear layer alone joins 25,088 numbers to 4,096.",
            ),
        ],
    ),
    "fifty-or-34": (
        "**Predict.** How many more multiply-adds does ResNet-50 need than ResNet-34, in the version of the paper?",
        [
            (
                "About four times as many: the maps between its blocks have four times the channels.",
                False,
                "They have. But inside the block the 3×3 works on a quarter of them, and the layers that see all are "
                "1×1.",
            ),
            (
                "About half as many again: 50 layers instead of 34.",
                False,
                "That would be so if the new layers cost what the old ones do. Two of the three are 1×1.",
            ),
            (
                "About five percent more.",
                True,
                "The block of three layers is made to cost no more than the block of two; the few percent come from "
                "the projections.",
            ),
        ],
    ),
    "read-by-1x1": (
        "**Predict.** In version 1 the stride of 2 is on the first 1×1 convolution of the block, and on that of its "
        "shortcut. How much of the map that comes in can have any influence on what goes out?",
        [
            (
                "All of it: the 3×3 that follows looks at the neighbours.",
                False,
                "At the neighbours among those that the first layer has let through. The others are gone by then.",
            ),
            ("Half of it.", False, "In each direction. The stride skips every second row and every second column."),
            (
                "A quarter.",
                True,
                "A 1×1 kernel with stride 2 sees one pixel in each square of four, and the shortcut sees the same one.",
            ),
        ],
    ),
    "leave-one-out": (
        "**Predict.** A small ResNet is trained by the paper's recipe, and then again with one part of it left out. "
        "Which part costs most if it is missing?",
        [
            (
                "The falling learning rate.",
                False,
                "It decides how well a run settles at its end. By then most has been learnt.",
            ),
            (
                "He's law for the first kernels.",
                False,
                "Without batch normalisation a great deal hangs on it. With it, each layer's signal is made "
                "equally large again whatever the kernels were.",
            ),
            (
                "Batch normalisation.",
                True,
                "At the rate that the recipe begins with, nothing else keeps signals and steps in bounds.",
            ),
            (
                "Weight decay.",
                False,
                "It acts slowly: in a short run it takes less than one percent off a weight.",
            ),
        ],
    ),
    "ten-times": (
        "**Predict.** All kernels of a trained network with batch normalisation are made ten times longer; scales, "
        "shifts and the last layer stay. In training mode, its outputs for a batch are ...",
        [
            (
                "ten times as large.",
                False,
                "So they would be if one layer was made longer and nothing came after it.",
            ),
            (
                "enormous: every layer multiplies by ten.",
                False,
                "Without batch normalisation, that is what happens: the factors of all layers multiply up.",
            ),
            (
                "as before.",
                True,
                "Each layer's output is divided by its standard deviation over the batch, which is ten times as large, "
                "too.",
            ),
            (
                "wrong: the network has forgotten what it had learnt.",
                False,
                "What it has learnt is in the directions of the kernels, and they are as they were.",
            ),
        ],
    ),
    "one-run-each": (
        "**Predict.** Two networks have true mean test errors of 8.7% and 8.5%. Single runs of either scatter around "
        "their mean with a standard deviation of 0.2 points. You train each *once*. How often does the worse one have "
        "the lower error?",
        [
            (
                "In about one case of forty.",
                False,
                "It is 0.2 points behind, and one needs more luck than usual to catch up. But both results scatter, so "
                "that their difference scatters more than either, and bad luck of the better one will do as well.",
            ),
            (
                "In about one case of four.",
                True,
                "The difference of two runs has a standard deviation of 0.28 points, which is more than the 0.2 points "
                "between the means.",
            ),
            (
                "In half of all cases.",
                False,
                "That is so if the two are equally good. Single runs say little, but not nothing.",
            ),
        ],
    ),
}


def quiz(name: str) -> Quiz:
    """Return the question of that name.

    Raises `ValueError`, naming those that there are, for another name.
    """
    if name not in QUESTIONS:
        raise ValueError(f"there is no question {name!r}: there are {', '.join(QUESTIONS)}")
    question, options = QUESTIONS[name]
    return Quiz(question, options, key=name)


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
        checked = _check(list(options))
        key = key or hashlib.sha256(question.encode()).hexdigest()[:12]
        super().__init__(question=question.strip(), options=checked, key=key)

    @traitlets.validate("chosen")
    def _chosen_is_an_option(self, proposal: dict) -> int:
        chosen, count = proposal["value"], len(self.options)
        if chosen >= count:
            raise traitlets.TraitError(
                f"`chosen` must be the index of one of {count} options, or -1, but it is {chosen}"
            )
        return chosen

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


def _check(options: list) -> list[dict[str, object]]:
    """Return the options as dicts, or say what is wrong with them."""
    if not 2 <= len(options) <= MOST_OPTIONS:
        raise ValueError(f"`options` must be two to {MOST_OPTIONS}, but there are {len(options)}")
    checked = []
    for i, option in enumerate(options):
        if not isinstance(option, tuple | list) or len(option) != 3:
            raise ValueError(f"options[{i}] must be (text, whether it is right, why), but it is {option!r}")
        text, right, why = option
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"options[{i}] must begin with its text, but it begins with {text!r}")
        if not isinstance(right, bool):
            raise ValueError(f"options[{i}] must say by True or False whether it is right, but it says {right!r}")
        if not isinstance(why, str) or not why.strip():
            raise ValueError(f"options[{i}], {text!r}, lacks a reason: say why it is right, or why it tempts")
        checked.append({"text": text.strip(), "right": right, "why": why.strip()})
    right = [o["text"] for o in checked if o["right"]]
    if len(right) != 1:
        raise ValueError(f"exactly one option must be right, but {len(right)} are: {', '.join(right) or 'none'}")
    texts = [o["text"] for o in checked]
    twice = next((t for t in texts if texts.count(t) > 1), None)
    if twice:
        raise ValueError(f"two options read {twice!r}: a reader could not choose between them")
    return checked


def _inline(text: str) -> str:
    """Return `text` as HTML, with `code`, **bold** and *emphasis*."""
    parts = re.split(r"(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*)", text)
    for i in range(1, len(parts), 2):
        mark = "**" if parts[i].startswith("**") else parts[i][0]
        inner = html.escape(parts[i][len(mark) : -len(mark)])
        parts[i] = f"<{_MARKS[mark]}>{inner}</{_MARKS[mark]}>"
    return "".join(p if i % 2 else html.escape(p) for i, p in enumerate(parts))
