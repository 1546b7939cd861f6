"""The quiz: what makes a question, answers worked out by running the nets, a reader who commits and comes back."""

import copy
import json
import math
import re
from statistics import NormalDist, fmean

import pytest
import torch
import torchvision
from torch import nn
from traitlets import TraitError

from resnet_edu.data import dataset as data
from resnet_edu.nets.blocks import BasicBlock, Bottleneck, PlainBlock
from resnet_edu.nets.models import cifar_net, plain34, plain56, resnet20, resnet34, resnet50
from resnet_edu.nets.shapes import conv_output_size
from resnet_edu.nets.variants import VariantBlock
from resnet_edu.tracing.run import trace
from resnet_edu.widgets import Quiz, quiz
from resnet_edu.widgets.quiz import QUESTIONS

OPTIONS = [("4", True, "Count."), ("22", False, "That joins the digits."), ("5", False, "One too many.")]


# ---------------------------------------------------------------- the question


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OPTIONS[:1], "two to 8 .* but there are 1"),
        (OPTIONS[1:], "one is right, but there are 2, 0 of them right"),
        ([*OPTIONS, ("four", True, "As well.")], "there are 4, 2 of them right"),
        ([*OPTIONS, ("6", False, " ")], r"must be \(text, .*'6'"),
        ([*OPTIONS, ("22", False, "Again.")], "different ones"),
        ([*OPTIONS, ("6", False)], r"must be \(text, .*'6'"),
        ([*OPTIONS, ("6", 0, "Why.")], r"must be \(text, .*'6'"),
        ([*OPTIONS, (6, False, "Why.")], r"must be \(text, .*6"),
    ],
)
def test_options_that_are_no_question(options, message):
    with pytest.raises(ValueError, match=message):
        Quiz("What is 2 + 2?", options)


def test_a_question_needs_words():
    with pytest.raises(ValueError, match="`question` must be a text, but it is '  '"):
        Quiz("  ", OPTIONS)


def test_keys_are_stable_and_differ():
    assert Quiz("Why?", OPTIONS).key == Quiz("Why?", OPTIONS[:2]).key  # a corrected reason keeps the commitment
    assert Quiz("Why?", OPTIONS).key != Quiz("How?", OPTIONS).key
    assert Quiz("Why?", OPTIONS, key="mine").key == "mine"


def test_only_an_option_can_be_chosen():
    asked = Quiz("What is 2 + 2?", OPTIONS)
    asked.chosen = 2
    with pytest.raises(TraitError, match="`chosen` must be from -1 to 2, but it is 3"):
        asked.chosen = 3
    assert asked.chosen == 2


def test_without_javascript_the_answer_is_folded():
    html = Quiz("Is `1 < 2` *always* **so**?", OPTIONS).static_html()
    assert "Is <code>1 &lt; 2</code> <em>always</em> <strong>so</strong>?" in html
    before, _, folded = html.partition("<details>")
    assert "Count." not in before
    assert "A is right." in folded
    assert all(why in folded for _, _, why in OPTIONS)


def test_an_unknown_question_names_those_there_are():
    with pytest.raises(ValueError, match=r"one of 'which-net', 'first-gradient', .* but it is 'nonsense'"):
        quiz("nonsense")


def test_every_question_of_the_book_is_asked_once(root):
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((root / "notebooks").glob("*.ipynb")))
    asked = re.findall(r'quiz\(\\"([\w-]+)\\"\)', text)
    assert sorted(asked) == sorted(QUESTIONS)


# ---------------------------------------------------------------- the right answers, worked out


def right(name: str) -> str:
    return next(text for text, is_right, _ in QUESTIONS[name]["options"] if is_right)


def test_which_net(root):
    from resnet_edu.experiment.shipped import load_records

    error = {n: [r.final["train_error"] for r in load_records("digits") if r.net == n] for n in ("plain20", "plain56")}
    assert max(error["plain20"]) < min(error["plain56"])
    assert right("which-net") == "The one with 20 layers."


def test_first_gradient():
    torch.manual_seed(0)
    net = plain56(in_channels=1)
    nn.functional.cross_entropy(net(torch.randn(64, 1, 8, 8)), torch.randint(10, (64,))).backward()
    kernels = [m.weight.grad.norm() for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert kernels[0] > 10 * kernels[-1]
    assert right("first-gradient") == "Much larger."


def test_zeroed_block():
    x = torch.rand(1, 4, 5, 5)
    blocks = [PlainBlock(4, 4), BasicBlock(4, 4)]
    for block in blocks:
        nn.init.zeros_(block.bn2.weight)
    assert not blocks[0](x).any()
    assert torch.equal(blocks[1](x), x)
    assert right("zeroed-block") == "The plain block zeros, the residual block its input."


@torch.no_grad()
def test_early_relu():
    torch.manual_seed(0)
    x = torch.randn(8, 4, 6, 6).relu()
    for _ in range(10):
        block = BasicBlock(4, 4)
        out = torch.relu(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x))))))
        larger = torch.relu(out + x)
        assert (larger >= x).all()
        assert larger.mean() > x.mean() + 0.1
        x = copy.copy(larger)
    assert right("early-relu").startswith("It keeps growing")


def test_hundred_pixels():
    def last(size: int) -> int:
        for kernel, padding in ((7, 3), (3, 1), (3, 1), (3, 1), (3, 1)):
            size = conv_output_size(size, kernel, 2, padding)
        return size

    assert last(224) == 7
    assert right("hundred-pixels") == f"{last(100)}×{last(100)}"


def test_far_sight():
    with torch.device("meta"):
        nets = [resnet34(), resnet50()]
    fields = [trace(net, (1, 3, 224, 224)).rows[-4].receptive_field for net in nets]
    assert fields[0] > fields[1]
    assert right("far-sight") == "ResNet-34's."


def test_vgg_or_34():
    with torch.device("meta"):
        vgg, plain = (trace(build(), (1, 3, 224, 224)).total_macs for build in (torchvision.models.vgg19, plain34))
    assert 5 < vgg / plain < 6
    assert right("vgg-or-34") == "VGG-19, more than five times as many."


def test_swap_the_head():
    with torch.device("meta"):
        whole = torchvision.models.vgg19()
        mean = nn.Sequential(whole.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    before, after = (trace(net, (1, 3, 224, 224)) for net in (whole, mean))
    assert after.total_params < 0.2 * before.total_params
    assert after.total_macs > 0.99 * before.total_macs
    assert whole.classifier[0].in_features == 25088
    assert right("swap-the-head") == "Most of its parameters, hardly any multiply-adds."


def test_fifty_or_34():
    with torch.device("meta"):
        nets = resnet34(), resnet50(stride_on="1x1")
    shallow, deep = (trace(net, (1, 3, 224, 224)) for net in nets)
    assert 1.04 < deep.total_macs / shallow.total_macs < 1.06
    fifty = sum(r.macs for r in deep.rows if r.on_shortcut)  # without projections it would be no more at all
    assert deep.total_macs - fifty < shallow.total_macs
    assert right("fifty-or-34") == "About five percent more."


def test_read_by_1x1():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 6, 6, requires_grad=True)
    Bottleneck(8, 4, stride=2, stride_on="1x1")(x).square().sum().backward()
    assert (x.grad != 0).any(0).any(0).float().mean() == 0.25
    assert right("read-by-1x1") == "A quarter."


@pytest.mark.slow
def test_leave_one_out(one_thread):
    digits = data.load("digits")
    pixels = digits.train_images.float() / 255
    pixels = (pixels - pixels[:400].mean(0)) / pixels[:400].std()
    labels = digits.train_labels
    moves = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]

    def error(
        lr: float, batch_norm: bool = True, std: float | None = None, falls=(50, 75), decay: float = 1e-4
    ) -> float:
        """Return the held-out error (%) after 100 steps."""
        torch.manual_seed(1)
        net = cifar_net(8, in_channels=1, batch_norm=batch_norm)
        for conv in (m for m in net.modules() if std and isinstance(m, nn.Conv2d)):
            nn.init.normal_(conv.weight, std=std)
        optimizer = torch.optim.SGD(net.parameters(), lr, 0.9, weight_decay=decay)
        rates = torch.optim.lr_scheduler.MultiStepLR(optimizer, falls)
        for _ in range(100):
            picks = torch.randint(400, (32,))
            x = pixels[picks].roll(moves[torch.randint(9, ())], (2, 3))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), labels[picks]).backward()
            optimizer.step()
            rates.step()
        with torch.no_grad():
            return 100 * (net.eval()(pixels[400:]).argmax(1) != labels[400:]).float().mean().item()

    parts = {
        "batch norm": {"batch_norm": False},
        "weights": {"std": 0.01},
        "falls": {"falls": ()},
        "decay": {"decay": 0},
    }
    best = {part: min(error(lr, **change) for lr in (0.1, 0.03)) for part, change in parts.items()}
    assert max(best, key=best.get) == "batch norm"
    assert right("leave-one-out") == "Batch normalisation."


@torch.no_grad()
def test_ten_times():
    torch.manual_seed(0)
    net, x = resnet20(in_channels=1), torch.randn(16, 1, 16, 16)
    before = net(x)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.mul_(10)
    torch.testing.assert_close(net(x), before, rtol=0.01, atol=0.01 * before.std().item())
    assert right("ten-times") == "as before."


def test_one_run_each():
    gap, scatter = 8.7 - 8.5, math.hypot(0.2, 0.2)  # of the difference of two independent runs
    assert NormalDist(gap, scatter).cdf(0) == pytest.approx(1 / 4, abs=0.02)
    asked = QUESTIONS["one-run-each"]
    assert "8.7% and 8.5%" in asked["question"]
    assert "0.2 points" in asked["question"]
    assert f"deviation of {scatter:.2f} points" in next(why for _, is_right, why in asked["options"] if is_right)
    assert right("one-run-each") == "In about one case of four."


def test_forgotten_eval():
    from resnet_edu.experiment.shipped import load_bugs, load_trained

    net, digits = load_trained("resnet20", study="digits"), data.load("digits")
    images = digits.test_images / 255 - (digits.train_images / 255).mean(0)
    shuffled = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))

    def error(net: nn.Module, order: torch.Tensor) -> float:
        with torch.no_grad():
            answers = torch.cat([net(some).argmax(1) for some in images[order].split(32)])
        return 100 * (answers != digits.test_labels[order]).float().mean().item()

    true, mixed, by_class = (
        error(copy.deepcopy(net).train(mode), order)
        for mode, order in ((False, shuffled), (True, shuffled), (True, digits.test_labels.argsort()))
    )
    assert true < mixed < 4
    assert by_class > 40

    record = load_bugs()  # of a smaller net
    right_way = fmean(record["error"])
    mixed, by_class = (right_way + fmean(points) for points in record["costs"]["no_eval"])
    assert round(2 * right_way) / 2 == 2.5
    assert round(mixed) == 3
    assert by_class > 50
    assert right("forgotten-eval") == "About 3% shuffled, more than 50% class by class."


def test_logs():
    """A: test errors that no net without the bug has. B: the weights are good. C: those of a net from fresh weights."""
    from resnet_edu.experiment.shipped import load_bugs

    logs = load_bugs()["curves"]
    assert logs["steps_on_test"][1][-1] < logs["test"][-1]
    assert min(logs["no_eval"]) > 40
    assert logs["test"][-1] < 3
    assert logs["train"][0] > 10 > 1 > logs["train"][-1]
    assert right("log-a") == "The optimizer steps on the test images, too."
    assert right("log-b") == "`eval()` is never called, and the test images come class by class."
    assert right("log-c") == "The weights were loaded with `strict=False`, and their names did not fit."


def test_trace_of_a_block():
    block = VariantBlock(16, 32, 2, projection=True, projection_norm=False)
    kinds = [row.kind for row in trace(block, (1, 16, 8, 8)).rows]
    assert (kinds.count("Conv2d"), kinds.count("BatchNorm2d")) == (3, 2)
    assert (block.branch(torch.randn(2, 16, 8, 8)) < 0).any()
    assert right("trace-of-a-block") == "A projection without batch norm."


# ---------------------------------------------------------------- a reader


def states(visit) -> list[bool]:
    """Whether each button is to be seen: Commit, Show the answer, Show me now, Start over."""
    names = ("Commit", "Show the answer", "Show me now", "Start over")
    return [visit.page.get_by_role("button", name=name, exact=True).first.is_visible() for name in names]


@pytest.mark.browser
def test_commit_by_keyboard_then_see_why(explorer_page):
    page = (visit := explorer_page(Quiz("What is 2 + 2?", OPTIONS))).page
    assert states(visit) == [True, False, True, False]
    reason = page.locator(".rx-mount").get_by_text("That joins the digits.")
    assert not reason.is_visible()
    page.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_by_role("status").inner_text() == "You have committed to B. Read on, or see the answer now."
    assert states(visit) == [False, True, False, True]
    assert page.get_by_role("radio").nth(1).is_disabled()
    assert not reason.is_visible()  # committed, and still to be found out
    page.keyboard.press("Enter")  # the focus went to the next button
    assert page.get_by_role("status").inner_text() == "You chose B; the answer is A."
    for _, _, why in OPTIONS:
        assert page.locator(".rx-mount").get_by_text(why).is_visible()
    assert page.locator(".rx-right").inner_text().startswith("A\n4✓ right")
    assert "✗ your answer" in page.locator(".rx-chosen").inner_text()
    assert not visit.barriers()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Start over"
    page.keyboard.press("Enter")
    assert states(visit) == [True, False, True, False]
    assert page.get_by_role("radio", checked=True).count() == 0
    assert not visit.complaints


@pytest.mark.browser
@pytest.mark.parametrize("way", ["http", "file"])
def test_the_browser_remembers_page_and_question(explorer_page, way):
    first, second = Quiz("What is 2 + 2?", OPTIONS), Quiz("And 1 + 3?", OPTIONS)
    page = (visit := explorer_page(first, second, way=way)).page
    page.get_by_label("22").first.check()
    page.get_by_role("button", name="Commit").first.click()
    visit.reload()
    assert page.get_by_role("status").first.inner_text().startswith("You have committed to B.")
    assert page.get_by_role("status").nth(1).inner_text() == ""
    other = explorer_page(first, way=way).page  # another page with the same question
    assert other.get_by_role("status").first.inner_text() == ""
    page.get_by_role("button", name="Start over").first.click()
    visit.reload()
    assert page.get_by_role("status").first.inner_text() == ""
    assert not visit.complaints


@pytest.mark.browser
def test_the_same_question_twice_is_remembered_twice(explorer_page):
    again = Quiz("What is 2 + 2?", OPTIONS)
    page = (visit := explorer_page(Quiz("What is 2 + 2?", OPTIONS), again, again)).page  # the last two are one quiz
    statuses = page.get_by_role("status")
    for nth, answer in ((0, "22"), (1, "4")):
        page.locator(".rx").nth(nth).get_by_label(answer).check()
        page.locator(".rx").nth(nth).get_by_role("button", name="Commit").click()
    visit.reload()
    assert [text.split(".")[0][-1:] for text in statuses.all_inner_texts()] == ["B", "A", "A"]
    page.get_by_role("button", name="Start over").last.click()
    visit.reload()
    assert [bool(text) for text in statuses.all_inner_texts()] == [True, False, False]
    assert not visit.complaints


@pytest.mark.browser
def test_what_else_is_kept_under_its_name_does_no_harm(explorer_page):
    page = (visit := explorer_page(Quiz("What is 2 + 2?", OPTIONS, key="k"))).page
    for kept in ("{", "7", '{"chosen": 9, "shown": true}', '{"chosen": "1"}', "null"):
        page.evaluate("kept => localStorage.setItem(`resnet-edu quiz ${location.pathname} k`, kept)", kept)
        visit.reload()
        assert states(visit) == [True, False, True, False], kept
    assert not visit.complaints


@pytest.mark.browser
def test_it_works_where_nothing_may_be_kept(explorer_page):
    page = (visit := explorer_page(Quiz("What is 2 + 2?", OPTIONS))).page
    deny = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('denied') } })"
    page.add_init_script(deny)
    visit.reload()
    page.get_by_label("4").check()
    page.get_by_role("button", name="Commit").click()
    page.get_by_role("button", name="Show the answer").click()
    assert page.get_by_role("status").inner_text() == "A is right."
    assert not visit.complaints


@pytest.mark.browser
def test_committing_to_nothing_is_explained(explorer_page):
    page = (visit := explorer_page(Quiz("What is 2 + 2?", OPTIONS))).page
    page.get_by_role("button", name="Commit").click()
    assert page.get_by_role("status").inner_text() == "Choose one of the answers first."
    page.get_by_role("button", name="Show me now").click()
    assert page.get_by_role("status").inner_text() == "The answer is A."
    assert states(visit) == [False, False, False, True]


@pytest.mark.browser
def test_text_of_a_question_never_becomes_markup(explorer_page):
    evil = "<img src=x onerror=alert(1)> `<b>` **<i>**"
    page = (visit := explorer_page(Quiz(evil, [(evil, True, evil), ("no", False, json.dumps(evil))]))).page
    page.get_by_role("button", name="Show me now").click()
    assert page.locator(".rx-mount :is(img, b, i)").count() == 0
    assert page.locator(".rx-mount code").first.inner_text() == "<b>"
    assert not visit.complaints
