"""How operations look in every picture: colour, mark and name; light and dark backgrounds.

Convolutions are blue, separable ones warm, pooling is grey; the darker one of a pair is the larger
kernel, or the maximum; the identity of a cell is violet. The colours stay apart for the
colour-blind, and none carries a meaning alone: each kind has a shape of its own and each operation
its two letters.
"""

from collections.abc import Iterable
from typing import NamedTuple

from AEROBI.architecture import OPERATIONS, Operation


class OperationStyle(NamedTuple):
    """How one operation looks in pictures."""

    mark: str  # two letters, written into its node
    label: str
    colour: str  # "#rrggbb"
    sides: int  # of the polygon of its node; 0 is a circle
    on_corner: bool = False  # a square that stands on a corner


class Theme(NamedTuple):
    """What is drawn with, on what; any colour of matplotlib, "none" is transparent."""

    foreground: str
    background: str


LIGHT = Theme("#1f2328", "white")
DARK = Theme("#e6e8eb", "#15181d")

_STYLES = {
    "conv_3x3": OperationStyle("C3", "3x3 convolution", "#8cc8f2", 0),
    "separable_conv_3x3": OperationStyle("S3", "3x3 separable", "#f3d23b", 6),
    "conv_5x5": OperationStyle("C5", "5x5 convolution", "#1466b8", 0),
    "separable_conv_5x5": OperationStyle("S5", "5x5 separable", "#d1600a", 6),
    "average_pooling": OperationStyle("AP", "average pooling", "#c4c4c4", 4),
    "max_pooling": OperationStyle("MP", "max pooling", "#545454", 4),
    "identity": OperationStyle("ID", "identity", "#8a3ffc", 4, on_corner=True),
}


def styles_of(operations: Iterable[Operation]) -> tuple[OperationStyle, ...]:
    """How each looks, in the same order."""
    return tuple(_STYLES[operation.name] for operation in operations)


OPERATION_STYLES = styles_of(OPERATIONS)  # by operation number, of whole networks


def text_colour(fill: str) -> str:
    """Black or white, whichever reads better on `fill` ("#rrggbb"; WCAG contrast)."""
    luminance = sum(weight * _linear(int(fill[start:start + 2], 16) / 255)
                    for weight, start in ((0.2126, 1), (0.7152, 3), (0.0722, 5)))
    return "black" if luminance > 0.179 else "white"


def _linear(value: float) -> float:
    """Light of an sRGB value, both 0..1."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
