"""No pickle, no eval, no shell strings: nothing that was read as data can become code."""

import ast
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("scripts/**/*.py"), ROOT / "setup.py"])
NOTEBOOKS = sorted([*ROOT.glob("src/**/*.ipynb"), *ROOT.glob("scripts/**/*.ipynb")])
SHELL = sorted(ROOT.glob("scripts/**/*.sh"))

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve",
           "code", "codeop", "pty", "commands"}
BUILTINS = {"eval", "exec", "compile", "__import__", "execfile"}
CALLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
         "yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load", "pandas.read_pickle",
         "numpy.fromregex", "tempfile.mktemp", "asyncio.create_subprocess_shell"}
FOREIGN_XML = {"xml.etree.ElementTree.parse", "xml.etree.ElementTree.fromstring",
               "xml.etree.ElementTree.iterparse", "xml.etree.ElementTree.XML"}
SUBCLASS_BUILTINS = {"builtins.eval", "builtins.exec", "builtins.compile"}
OBJECT_DTYPES = {"object", "O", "|O", "object_"}


def faults(source: str) -> list[str]:
    """`line: what` of everything in Python source that could run data."""
    tree = ast.parse(source)
    names = _imported(tree)
    found = []
    for node in ast.walk(tree):
        for what in _faults_of(node, names):
            found.append(f"{node.lineno}: {what}")
    return found


def _imported(tree: ast.AST) -> dict[str, str]:
    """Name in this file -> full name of what was imported under it."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _full_name(node: ast.AST, names: dict[str, str]) -> str:
    """"subprocess.run" of what is called, through the imports; "" where it has no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = _full_name(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def _faults_of(node: ast.AST, names: dict[str, str]):
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [
            node.module or ""]
        yield from (f"imports {name}" for name in modules if name.partition(".")[0] in MODULES)
    if isinstance(node, ast.Name) and node.id in BUILTINS and node.id not in names:
        yield node.id
    if isinstance(node, ast.Attribute | ast.Name):
        name = _full_name(node, names)
        if name in CALLS | FOREIGN_XML | SUBCLASS_BUILTINS:
            yield name
        if name.endswith(".special_dtype"):
            yield "HDF5 type that may hold objects"
    if isinstance(node, ast.Call):
        yield from _faults_of_call(node, names)


def _faults_of_call(node: ast.Call, names: dict[str, str]):
    called = _full_name(node.func, names)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    for name, value in given.items():
        constant = value.value if isinstance(value, ast.Constant) else ...
        if name == "allow_pickle" and constant is not False:
            yield "allow_pickle"
        if name == "shell" and constant is not False:
            yield "shell"
        if name in ("dtype", "ref_dtype", "vlen") and (
                constant in OBJECT_DTYPES
                or _full_name(value, names).rpartition(".")[2] in OBJECT_DTYPES):
            yield "object dtype"
    if called.startswith("subprocess.") and None in given:
        yield "subprocess with options that cannot be seen"
    if called.startswith("subprocess.") and node.args and (
            isinstance(node.args[0], ast.JoinedStr)
            or isinstance(getattr(node.args[0], "op", None), ast.Mod)):
        yield "subprocess with a string made of parts"
    if called.endswith("import_module") and not _is_package(node):
        yield "import_module"


def _is_package(node: ast.Call) -> bool:
    """`import_module` of a name in this package's own tables."""
    return ast.unparse(node.args[0]) in ("f'AEROBI.{command.module}'", "module")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_runs_no_data(path):
    assert faults(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_no_data(path):
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert not re.search(r"^\s*[!%]", source, re.MULTILINE), source
            assert faults(source) == []


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shell_scripts_run_no_data(path):
    text = re.sub(r"(^|\s)#.*", "", path.read_text("utf-8"))
    assert not re.search(r"\b(eval|source)\b\s+[\"$]|\b(ba)?sh\s+-c\b|`", text)
    assert not re.search(r"(?<!\")\$(@|\*|\{@)", text), "arguments must stay in quotes"


def test_all_kinds_of_files_are_there():
    assert len(SOURCES) > 80 and NOTEBOOKS and SHELL


@pytest.mark.parametrize("source", [
    "import pickle", "from pickle import loads", "import dill as d", "import marshal, os",
    "import shelve", "eval('1')", "f = eval", "exec(x)", "compile(x, '', 'exec')",
    "__import__(x)", "import builtins\nbuiltins.exec(x)", "from builtins import eval as e\ne(x)",
    "import os\nos.system(x)", "from os import popen\npopen(x)", "from os import system as s\ns(x)",
    "import subprocess\nsubprocess.run(x, shell=True)",
    "import subprocess as sp\nsp.Popen(x, shell=flag)", "import subprocess\nsubprocess.run(x, **o)",
    "import subprocess\nsubprocess.run(f'ls {x}')", "import subprocess\nsubprocess.getoutput(x)",
    "import numpy as np\nnp.load(x, allow_pickle=True)",
    "import numpy as np\nnp.save(x, y, allow_pickle=z)", "np.array(x, dtype=object)",
    "np.array(x, dtype='O')", "h5py.special_dtype(vlen=str)", "import yaml\nyaml.load(x)",
    "from xml.etree import ElementTree\nElementTree.parse(x)",
    "import xml.etree.ElementTree as E\nE.fromstring(x)", "import importlib\n"
    "importlib.import_module(words[0])", "import torch\ntorch.load(x)"])
def test_the_search_finds(source):
    assert faults(source)


@pytest.mark.parametrize("source", [
    "import re\nre.compile(x)", "model.eval()", "np.load(x, allow_pickle=False)",
    "import subprocess\nsubprocess.run(['ls', f'{x}'], shell=False)", "np.array(x, dtype='int32')",
    "from defusedxml import ElementTree\nElementTree.parse(x)"])
def test_the_search_leaves_alone(source):
    assert faults(source) == []
