"""Every explorer in a real browser: twice on a page, broken, without JavaScript, narrow, dark, from a folder.

The pages are put together as the book does it (see browser.py); the chapters of the built site have tests of their own
in test_explorers_site.py. What an explorer does is tested in a file of its own.
"""

import pytest
from browser import DESKTOP, PHONE, Visit, served, write_explorer_page
from samples import sample

from resnet_edu import widgets

pytestmark = pytest.mark.browser

EXPLORERS = [getattr(widgets, name) for name in widgets.__all__ if name[0].isupper()]


@pytest.mark.parametrize("explorer", EXPLORERS, ids=lambda e: e.__name__)
def test_has_no_barrier_and_fits_on_a_phone(explorer: type, explorer_page):
    visit = explorer_page(sample(explorer), sample(explorer))  # twice: identifiers must not collide
    found = []
    for scheme, barriers in (("light", visit.barriers), ("dark", visit.faint)):
        visit.show(scheme)
        found += [f"{scheme}: {line}" for line in visit.check("faintText")]
        found += [f"{scheme}: {line}" for _, _, line in barriers()]
    for size in (PHONE, DESKTOP):
        visit.page.set_viewport_size(size)
        found += visit.check("sideways") + visit.check("cutLetters")
    assert found + visit.check("silentPictures") == []


@pytest.mark.parametrize("way", ["http", "file"])
def test_all_are_mounted_and_ask_for_nothing(way: str, explorer_page):
    visit = explorer_page(*map(sample, EXPLORERS), way=way)
    assert visit.page.locator(".rx-mount .rx").count() == len(EXPLORERS)
    assert visit.page.locator(".rx-static:visible").count() == 0
    assert visit.page.locator(".rx-failed").count() == 0
    assert not visit.foreign
    assert not visit.complaints


def test_without_javascript_the_tables_are_there(browser, write_page):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    ways, name = write_page(*map(sample, EXPLORERS))
    page.goto(ways["http"] + name)
    assert page.locator(".rx-static").count() == len(EXPLORERS)
    for output in page.locator(".rx-static").all():
        table = output.locator(":is(table, ol)").first
        assert table.is_visible()
        assert table.inner_text().strip()
    context.close()


def test_one_that_throws_leaves_its_table_and_the_others(context, tmp_path):
    first, second = sample(EXPLORERS[0]), sample(EXPLORERS[0])
    first._explorer = "broken"
    name = write_explorer_page(tmp_path, [first, second])
    script = tmp_path / "explorers.js"
    code = script.read_text(encoding="utf-8")
    at = code.rindex("({")  # the last call tells the mount which explorers there are
    script.write_text(f"{code[: at + 2]}broken:1,{code[at + 2 :]}", encoding="utf-8")
    broken = (
        '(globalThis.rxExplorers ??= {}).broken = {render({el}){el.append("half a view");throw new Error("it broke")}}'
    )
    (tmp_path / "explorers" / "broken.js").write_text(f"(globalThis.rxExplorers ??= {{}}).broken = {broken}")
    with served(tmp_path) as ways:
        visit = Visit(context.new_page(), ways["http"]).open(name)
        outputs = visit.page.locator(".rx-output")
        assert "it broke" in outputs.nth(0).locator(".rx-failed").inner_text()
        assert "half a view" not in outputs.nth(0).inner_text()
        assert outputs.nth(0).locator(".rx-static").is_visible()
        assert outputs.nth(1).locator(".rx-mount .rx").is_visible()
        assert outputs.nth(1).locator(".rx-static").is_hidden()
        assert [line for line in visit.complaints if "it broke" not in line] == []
        visit.page.close()


def test_a_faint_word_among_others_that_look_alike_is_found(explorer_page):
    visit = explorer_page(sample(EXPLORERS[0]))
    visit.show("dark")
    assert not visit.faint()
    add = """words => document.querySelector("article").insertAdjacentHTML("beforeend", words)"""
    visit.page.evaluate(add, "<p>to be read</p>" * 9 + '<p style="color: #444" id="faint">hardly to be seen</p>')
    visit.page.evaluate(add, '<p style="background: #fff"><span><b id="pale">nor this</b></span></p>')
    assert [where for _, where, _ in visit.faint()] == ["#faint", "#pale"]
