"""The notebook as it ships, run from top to bottom by a real kernel."""

import pathlib
import shutil

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"
NOTEBOOK = SCRIPTS / "DAG_Visualization.ipynb"


def test_it_ships_without_outputs_and_is_valid():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert len(code) <= 8


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """(notebook with its outputs, folder it ran in): a checkout that is not installed."""
    checkout = tmp_path_factory.mktemp("checkout")
    folder = checkout / "scripts"
    folder.mkdir()
    for name in (NOTEBOOK.name, "sample_log.txt"):
        shutil.copy(SCRIPTS / name, folder)
    (checkout / "src").symlink_to(SCRIPTS.parent / "src", target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
            patch.setenv(name, str(checkout / name))
        notebook = nbformat.read(folder / NOTEBOOK.name, as_version=4)
        NotebookClient(notebook, timeout=240, kernel_name="python3",
                       resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def test_it_writes_what_it_says(executed):
    _, folder = executed
    assert sorted(path.name for path in folder.iterdir()) == [
        NOTEBOOK.name, "drawings", "sample_log.txt"]
    assert sorted(path.name for path in (folder / "drawings").iterdir()) == [
        "arc_string_output.txt", "architecture_0050.png", "architecture_0100.png",
        "architecture_0150.png", "search.gif", "search.mp4", "test_accuracy_array.npy",
        "valid_accuracy_array.npy"]
    lines = (folder / "drawings" / "arc_string_output.txt").read_text().splitlines()
    assert len(lines) == 150 * 7
    assert len(np.load(folder / "drawings" / "valid_accuracy_array.npy")) == 3
    with Image.open(folder / "drawings" / "search.gif") as film:
        assert film.n_frames == 150


def test_it_shows_what_it_makes(executed):
    notebook, folder = executed
    shown = [output for cell in notebook.cells if cell.cell_type == "code"
             for output in cell.outputs]
    assert not [output for output in shown if output.output_type == "error"]
    results = [output.data for output in shown if output.output_type == "execute_result"]
    kinds = [kind for data in results for kind in data]
    assert {"image/svg+xml", "image/png", "image/gif", "text/html"} <= set(kinds)
    picture = next(data["image/svg+xml"] for data in results if "image/svg+xml" in data)
    lines = (folder / "drawings" / "arc_string_output.txt").read_text().splitlines()
    last = " ".join(lines[-7:])
    assert last in picture and "8 Sigmoid" in picture
    listing = results[-1]["text/plain"]
    assert "search.mp4" in listing and "architecture_0150.png" in listing
