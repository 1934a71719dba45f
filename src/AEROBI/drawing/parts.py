"""What an architecture is drawn as: a whole network as one graph, two cells as two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from AEROBI.architecture import Architecture
from AEROBI.drawing import cell_geometry, dag_geometry
from AEROBI.drawing.layouts import Layout
from AEROBI.micro.cells import CELL_NAMES, Cell, MicroArchitecture
from AEROBI.search_space.spaces import AnyArchitecture

if TYPE_CHECKING:
    from networkx import DiGraph

Part = Architecture | Cell


def parts(architecture: AnyArchitecture) -> dict[str, Part]:
    """Each graph's title, and what it is of; a single one has no title."""
    if isinstance(architecture, MicroArchitecture):
        return {f"{name} cell": cell for name, cell in zip(CELL_NAMES, architecture.cells)}
    return {"": architecture}


def graph(part: Part) -> DiGraph:
    """Nodes with `op`, a number or None; edges with `skip`, whether other ones lack them."""
    return _geometry(part).graph(part)


def layout(part: Part) -> Layout:
    """What all graphs of its size have in common."""
    return _geometry(part).layout(part.num_nodes if isinstance(part, Cell) else part.num_layers)


def _geometry(part: Part):
    return cell_geometry if isinstance(part, Cell) else dag_geometry
