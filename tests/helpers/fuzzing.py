"""What the fuzz tests share: the same examples in every run, thousands on request.

AEROBI_FUZZ_EXAMPLES=650 python -m pytest tests/test_fuzz_*.py tests/report/test_fuzz_report.py

tries more than 10,000 inputs in all; the last lines of its output count them, by test.
"""

import collections
import functools
import os
import tempfile

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), "hypothesis"))  # not the checkout
INPUTS: collections.Counter[str] = collections.Counter()  # tried so far, by test
_ASKED = int(os.environ.get("AEROBI_FUZZ_EXAMPLES", "0"))

NASTY = st.sampled_from([
    "", " ", "\n", "\0", "..", "../x", "a/../../x", "/", "~", "~nobody/x", "$HOME", "`x`", "$(x)",
    "-1", "1e999", "nan", "9" * 5000, "1_0", "٣", "²", "\ud800", "'", '"', "<script>", "\x1b[2J",
    "\r", "{}", "%s", "a" * 300, "#", "x#best", "x#" + "9" * 5000, "é" * 200])


def examples(count: int, slow: bool = False):
    """`count` examples, always the same ones; more with AEROBI_FUZZ_EXAMPLES.

    Of a `slow` test, a hundredth of those, and no search for the smallest example.
    """
    phases = [Phase.explicit, Phase.generate, *([] if slow else [Phase.shrink])]
    chosen = settings(max_examples=max(count, _ASKED // 100 if slow else _ASKED), derandomize=True,
                      database=None, deadline=None, phases=phases,
                      suppress_health_check=list(HealthCheck))

    def counted(test):
        test.hypothesis.inner_test = _counted(test.hypothesis.inner_test)
        return chosen(test)

    return counted


def _counted(test):
    """The test, which also counts in INPUTS how often it is called."""
    @functools.wraps(test)
    def call(*arguments, **named):
        INPUTS[test.__name__] += 1
        return test(*arguments, **named)
    return call


@st.composite
def damaged(draw, whole: bytes, most: int | None = None):
    """`whole` with some bytes changed, cut or put in; only before position `most`."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, min(most or len(content), len(content))))
        what = draw(st.sampled_from(["set", "set", "zero", "insert", "remove", "cut"]))
        if what == "set":
            content[at:at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif what == "zero":
            content[at:at + 8] = bytes(8)
        elif what == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=40))
        elif what == "remove":
            del content[at:at + draw(st.integers(1, 40))]
        else:
            del content[at:]
    return bytes(content)


def tree_of(folder) -> dict[str, bytes | None]:
    """Every path below a folder, and what each file holds."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in folder.rglob("*")}
