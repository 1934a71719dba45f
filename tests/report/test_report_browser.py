"""Reports in a real browser: what loads, what runs, what a reader sees.

Without a browser these tests are skipped, unless the environment variable
AEROBI_NEEDS_BROWSER is set.
"""

import functools
import itertools
import os
import shutil
from typing import NamedTuple

import pytest
from report_runs import CELLS, write_final, write_search

from AEROBI.report import page as report

CHROMIUM = next(filter(None, map(shutil.which, (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
           "--disable-background-networking", "--disable-component-update"]
HOSTILE = ("</script><script>document.title='broken'</script>",
           "<img src=x onerror=\"document.title='broken'\">", "' onload='document.title=1'")
RUNS = ("search", "final", "cells")

if not os.environ.get("AEROBI_NEEDS_BROWSER"):
    pytest.importorskip("playwright")
    pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


class Shown(NamedTuple):
    """A page, and what it said and asked for while it loaded."""

    page: object
    messages: list
    requests: list


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("reports")
    write_search(path / "search")
    write_search(path / "cells", space=CELLS)
    write_final(path / "final", HOSTILE, config=dict(zip(HOSTILE, HOSTILE)))
    for name in RUNS:
        report.report(path / name)
    return path


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def show(browser, folder):
    """`show(name, width, scheme)`: the report of a run; a test that changes it gives a `use`."""
    @functools.cache
    def load(name, width=1200, scheme="light", use=""):
        context = browser.new_context(viewport={"width": width, "height": 800},
                                      color_scheme=scheme)
        page, messages, requests = context.new_page(), [], []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((folder / name / "report.html").as_uri())
        return Shown(page, messages, requests)
    return load


@pytest.mark.parametrize("name", RUNS)
def test_it_loads_without_a_word_and_without_a_network(show, folder, name):
    shown = show(name)
    assert shown.messages == []
    page = (folder / name / "report.html").as_uri()
    assert {url for url in shown.requests if not url.startswith("data:")} == {page}


@pytest.mark.parametrize("name", RUNS)
def test_names_from_files_do_not_run(show, name):
    shown = show(name)
    assert shown.page.title().endswith(f": {name}")
    assert shown.page.locator("script").count() == 1
    assert shown.page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(node => node.getAttributeNames())"
        ".filter(attribute => attribute.startsWith('on'))") == []


def test_hostile_names_are_readable(show):
    page = show("final").page
    assert page.locator("#labels tbody th").all_inner_texts()[:3] == list(HOSTILE)


def test_no_foreign_script_may_run(show):
    """The policy of the page refuses what escaping would have let through."""
    shown = show("search", use="policy")
    shown.page.evaluate("document.body.insertAdjacentHTML('beforeend', "
                        "`<img src='data:,' onerror=\"document.title = 'broken'\">`)")
    shown.page.wait_for_timeout(200)
    assert shown.page.title() != "broken"
    assert "Content Security Policy" in " ".join(shown.messages)


@pytest.mark.parametrize("name", RUNS)
def test_every_section_and_picture_is_there(show, name):
    page = show(name).page
    for anchor in page.locator("nav a").all():
        section = page.locator(anchor.get_attribute("href"))
        assert section.bounding_box()["height"] > 50
        assert section.locator("h2").count() == 1
    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert all(widths) and bool(widths) == (name == "final")
    boxes = [picture.bounding_box() for picture in page.locator("svg[role=img]").all()]
    assert len(boxes) > 5 and all(box["width"] > 100 and box["height"] > 30 for box in boxes)


@pytest.mark.parametrize("name", RUNS)
def test_headings_are_in_order(show, name):
    levels = show(name).page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(one => +one.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_page_does_not_scroll_sideways(show, name, width):
    page = show(name, width).page
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = page.evaluate("""[...document.querySelectorAll('body *')].filter(node =>
        !node.closest('.scroll, svg') && node.getBoundingClientRect().right > innerWidth + 1)
        .map(node => node.outerHTML.slice(0, 80))""")
    assert beyond == []


@pytest.mark.parametrize("width, beside", [(360, False), (1200, True)])
def test_two_cells_stand_side_by_side_where_there_is_room(show, width, beside):
    page = show("cells", width).page
    for pair in page.locator(".pair").all():
        first, second = (figure.bounding_box() for figure in pair.locator("figure").all())
        assert (second["x"] >= first["x"] + first["width"]) == beside
        assert (second["y"] >= first["y"] + first["height"]) != beside
        assert pair.locator("figcaption").all_inner_texts() == ["normal cell", "reduction cell"]
    assert page.locator(".pair").count() == 6


def test_light_and_dark_differ(show):
    colours = [show("search", scheme=scheme).page.evaluate(
        "getComputedStyle(document.body).backgroundColor") for scheme in ("light", "dark")]
    assert colours == ["rgb(255, 255, 255)", "rgb(21, 24, 29)"]


# Text of each element against what lies behind it; WCAG asks for 4.5. Inside the nodes of a graph
# the colours belong to the operations, and are chosen elsewhere.
CONTRAST = """() => {
  const parse = (text) => {
    const values = text.match(/-?[\\d.]+(e-?\\d+)?/g).map(Number);
    const [r, g, b, a = 1] = text.startsWith('color(') ?
      [...values.slice(0, 3).map(one => one * 255), ...values.slice(3)] : values;
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((one, i) => a * one + (1 - a) * below[i]);
  const behind = (node) => node ? over(parse(getComputedStyle(node).backgroundColor),
    behind(node.parentElement)) : [255, 255, 255];
  const light = (colour) => colour.map(one => one / 255)
    .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const node of document.querySelectorAll('body *:not(script)')) {
    const own = [...node.childNodes].some(one => one.nodeType === 3 && one.data.trim());
    if (!own || /font-weight/.test(node.getAttribute('style') || '') && node.closest('svg')) {
      continue;
    }
    const style = getComputedStyle(node), below = behind(node);
    const text = over(parse(node.closest('svg') ? style.fill : style.color), below);
    const [low, high] = [light(text), light(below)].sort((a, b) => a - b);
    found.push([(high + 0.05) / (low + 0.05), node.outerHTML.slice(0, 90)]);
  }
  return found;
}"""


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(show, name, scheme):
    found = show(name, scheme=scheme).page.evaluate(CONTRAST)
    assert len(found) > 100
    assert [text for ratio, text in found if ratio < 4.5] == []


def test_a_copy_button(show):
    page = show("search", use="copy").page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("button[data-copy]").first
    button.click()
    # Not wait_for_function: it evaluates text, which the page's security policy forbids.
    page.locator("button[data-copy]", has_text="copied").first.wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    assert text == button.get_attribute("data-copy")
    assert text == page.locator(".copy code").first.inner_text()


def test_a_copy_button_without_a_clipboard(show):
    page = show("search", use="selection").page
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    button = page.locator("button[data-copy]").first
    button.click()
    assert page.evaluate("getSelection().toString()") == button.get_attribute("data-copy")


def test_pictures_are_named_for_those_who_cannot_see_them(show):
    page = show("final").page
    names = page.evaluate("""[...document.querySelectorAll('img, svg')].map(node =>
        node.getAttribute('alt') || node.getAttribute('aria-label'))""")
    assert all(names)
    assert any(name.startswith(f"Precision over recall of {HOSTILE[0]}: AP") for name in names)
