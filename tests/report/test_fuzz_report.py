"""Names from files in the report and in what the notebook shows: text, and nothing but text."""

import html.parser
import re

import pytest
from defusedxml import ElementTree
from fuzzing import NASTY, examples
from hypothesis import given
from hypothesis import strategies as st
from report_runs import write_final, write_search

from AEROBI.architecture import SHIPPED, Architecture
from AEROBI.drawing import dag
from AEROBI.report import page as report

HOSTILE = st.one_of(st.sampled_from([
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "' onload='alert(1)",
    '" onmouseover="alert(1)', "javascript:alert(1)", "<svg/onload=alert(1)>", "&lt;b&gt;", "]]>",
    "$", "$x", "$\\frac{", "\\", "%s{{x}}{% x %}", "<!--", "_^_", "$\\includegraphics{x}$"]),
    NASTY.filter(lambda text: len(text) < 400), st.text(max_size=20))
# What the pages are made of; a name must add none of it.
TAGS_THAT_LOAD = {"iframe", "object", "embed", "base", "form", "foreignobject", "audio",
                  "video", "template"}


class Page(html.parser.HTMLParser):
    """Counts what could run or load."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts, self.wrong, self.text = 0, [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        if tag in TAGS_THAT_LOAD:
            self.wrong.append(tag)
        for name, value in attributes:
            loads = name in ("src", "href", "xlink:href", "srcset", "action", "data")
            elsewhere = loads and not re.match(r"data:image/|data:,|#", value or "#")
            if name.startswith("on") or elsewhere:
                self.wrong.append(f"{tag} {name}={value}")

    def handle_data(self, data):
        self.text += data


@examples(3, slow=True)
@given(names=st.lists(HOSTILE, min_size=3, max_size=3, unique=True), data=st.data())
def test_the_report_shows_names_as_text(tmp_path_factory, names, data):
    names = tuple(name.encode("utf-8", "replace").decode().replace("\0", "") for name in names)
    folder = tmp_path_factory.mktemp("report")
    write_final(folder / "run", names, config=dict(zip(names, reversed(names))))
    page = Page(report.report(folder / "run").read_text("utf-8"))
    assert page.scripts == 1 and page.wrong == []
    assert sorted(path.name for path in folder.iterdir()) == ["run", "run_data"]


@pytest.mark.parametrize("name", ["$x", "$\\frac{", "a$b$c", "<script>alert(1)</script>"])
def test_names_that_matplotlib_would_take_for_formulas(tmp_path, name):
    write_final(tmp_path / "run", (name, "Crack", "Rust"), config={name: name})
    page = Page(report.report(tmp_path / "run").read_text("utf-8"))
    assert page.scripts == 1 and page.wrong == [] and name in page.text


@examples(30)
@given(HOSTILE)
def test_titles_of_drawings(title):
    """What the notebook shows with IPython's SVG, which is no sandbox."""
    svg = dag.svg(Architecture.parse(SHIPPED, 7), title=title)
    page = Page(svg.decode())
    assert page.scripts == 0 and page.wrong == []
    assert {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()} <= {
        "svg", "g", "path", "text", "tspan", "title", "desc", "defs", "marker", "use", "rect",
        "circle", "line", "polygon", "style", "clipPath", "metadata", "RDF", "Work", "type",
        "format", "date", "creator", "Agent"}


def test_a_search_in_a_folder_with_a_hostile_name(tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)> $x"
    write_search(folder)
    page = Page(report.report(folder).read_text("utf-8"))
    assert page.scripts == 1 and page.wrong == []
