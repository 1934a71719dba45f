"""The map in src/AEROBI/README.md against the folders; the direction of imports between rooms."""

import ast
import pathlib
import re

import AEROBI

HOUSE = pathlib.Path(AEROBI.__file__).parent
TESTS = pathlib.Path(__file__).parent
SCRIPTS = TESTS.parent / "scripts"
AT_THE_TOP = 20  # files, at most
TELEGRAMS = {"one", "said", "told", "mine", "taken", "seen"}  # as names they hold anything


def rooms_of_the_map() -> list[str]:
    """Names of the rows, top floor first."""
    return re.findall(r"^\| `(\w+)/?` \|", (HOUSE / "README.md").read_text("utf-8"), re.M)


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imported_rooms(source: str) -> set[str]:
    """Rooms that a file imports from, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "AEROBI":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("AEROBI."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names
                         if alias.name.startswith("AEROBI."))
    return found - {"__version__"}


def telegrams(source: str) -> list[tuple[int, str]]:
    """Line and name of the variables, arguments, attributes and functions in TELEGRAMS."""
    return [(node.lineno, name) for node in ast.walk(ast.parse(source))
            for field in ("id", "arg", "attr", "name", "asname")
            if (name := getattr(node, field, None)) in TELEGRAMS]


def test_the_map_names_every_room_and_no_other():
    rooms = {path.stem for path in HOUSE.iterdir()
             if path.suffix == ".py" or (path / "__init__.py").exists()} - {"__init__"}
    listed = rooms_of_the_map()
    assert sorted(listed) == sorted(rooms)
    assert len(list(HOUSE.glob("*.py"))) <= AT_THE_TOP


def test_imports_are_found():
    assert imported_rooms("from AEROBI import cli, __version__\nimport AEROBI.data.patches\n"
                          "def f():\n    from AEROBI.run.run_dir import x\n") == {
        "cli", "data", "run"}


def test_every_import_goes_down():
    floor = {name: number for number, name in enumerate(rooms_of_the_map())}
    upwards = [
        f"{path.relative_to(HOUSE)} imports from {room}"
        for path in HOUSE.rglob("*.py") if path.parent != HOUSE or path.stem != "__init__"
        for room in imported_rooms(path.read_text("utf-8")) - {room_of(path)}
        if floor[room] <= floor[room_of(path)]]
    assert not upwards


def test_telegrams_are_found():
    assert sorted(telegrams(
        "import os as mine\ndef said(told, one=1):\n    '''one'''\n    for seen in a.taken:\n"
        "        b(one=lambda one: 'one')  # told\n")) == [
        (1, "mine"), (2, "one"), (2, "said"), (2, "told"), (4, "seen"), (4, "taken"), (5, "one"),
        (5, "one")]


def test_variables_have_the_noun_of_what_they_hold():
    """`for image in images` says what `for one in images` leaves to be looked up."""
    found = [
        f"{path}, line {line}: {name}"
        for folder in (HOUSE, TESTS, SCRIPTS) for path in folder.rglob("*.py")
        for line, name in telegrams(path.read_text("utf-8"))]
    assert not found
    assert not [path.name for path in HOUSE.rglob("*.html")
                if re.search(r"\bfor one in\b", path.read_text("utf-8"))]
