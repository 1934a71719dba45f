"""A run at a glance: one HTML file that needs no network and no other file."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from AEROBI.drawing.extras import require
from AEROBI.records.run_records import RunRecords, read_run
from AEROBI.report import charts as report_svg
from AEROBI.report.curves import MEAN_AP, curves
from AEROBI.report.sections import share
from AEROBI.report.view import view
from AEROBI.run.run_dir_checks import REPORT
from AEROBI.run.whole_files import replace_file

if TYPE_CHECKING:
    from markupsafe import Markup

_HERE = Path(__file__).parent


class ReportError(ValueError):
    """A report that cannot be made as asked; the message names the flag and the way out."""


def report(run_dir: Path, output: Path | None = None, data_path: Path | None = None) -> Path:
    """Writes the report of a run, in one piece, and returns its path.

    Args:
        run_dir: of this package, running or not; or a folder with a log of the published code.
        output: default report.html in the run's folder.
        data_path: where the images are now; default where the run had them.

    Raises:
        RunRecordsError: there is no run.
        ReportError: `output` is no name of a HTML file.
        MissingExtraError: matplotlib, networkx or jinja2 is not installed.
        OSError: it cannot be written.
    """
    output = output or run_dir / REPORT
    if output.suffix.lower() not in (".html", ".htm"):
        raise ReportError(f"{output}: a report is HTML; give --output a name that ends in .html")
    replace_file(output, render(read_run(run_dir), data_path).encode("utf-8", "replace"))
    return output


def curves_picture(run_dir: Path, output: Path) -> Path:
    """Writes the curves of a run as a PNG or SVG file, in one piece, and returns its path.

    Raises:
        RunRecordsError: there is no run.
        ReportError: another kind of file, or nothing was recorded yet.
        MissingExtraError: matplotlib is not installed.
        OSError: it cannot be written.
    """
    kind = output.suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise ReportError(f"{output}: give --curves a name that ends in .png or .svg")
    charts = curves(read_run(run_dir))
    if len(charts) > 6:  # two full rows
        charts = [chart for chart in charts if chart.title != MEAN_AP]
    if not charts:
        raise ReportError(f"{run_dir}: nothing is recorded yet; let the run go on")
    replace_file(output, report_svg.curves_picture(charts, kind))
    return output


def render(run: RunRecords, data_path: Path | None = None) -> str:
    """The page as text."""
    _, _, jinja2, markupsafe = map(require, ("matplotlib", "networkx", "jinja2", "markupsafe"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True)
    environment.filters |= {"share": share, "breakable": _breakable}
    script = (_HERE / "script.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("template.html").render(
        view(run, data_path), script=markupsafe.Markup(script), script_hash=f"sha256-{digest}",
        style=markupsafe.Markup((_HERE / "style.css").read_text("utf-8")))


def _breakable(name: str) -> "Markup":
    """The name of a flag, to be broken at its underscores only."""
    markup = require("markupsafe").Markup
    return markup("_<wbr>").join(name.split("_"))
