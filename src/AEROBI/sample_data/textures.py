"""Concrete without defects: noise, surfaces, light, and the clutter every bridge wears.

A picture is made from a `Surface`: a height and a colour for each pixel. Layers are pure functions
that take a surface and return a new one; `photograph` lights the last one. Because everything is
lit together, a broken edge, a bar and a blowhole are shaded from the same side.

Lengths are in units: the shorter side of every image is `SHORT_SIDE` units long, whatever its size
in pixels, and (0, 0) is the centre of the image. Points are (y, x), y grows downwards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHORT_SIDE = 64.0

# Saturated paint: no defect has these hues.
BLUE, CYAN, GREEN = (0.10, 0.25, 0.75), (0.05, 0.50, 0.75), (0.10, 0.60, 0.25)
MAGENTA, VIOLET = (0.75, 0.10, 0.55), (0.45, 0.15, 0.65)
GRAFFITI_COLOURS = np.array([BLUE, CYAN, GREEN, MAGENTA, VIOLET])
# Moss, soil and soot. Soil is as warm as rust but pale, and has no runs.
BLOOM_COLOURS = np.array([[0.30, 0.38, 0.16], [0.50, 0.36, 0.20], [0.12, 0.12, 0.12]])


class Grid(NamedTuple):
    """Where the pixels are: y, x float32 [H, W] in units, and the size of a pixel in units."""

    y: np.ndarray
    x: np.ndarray
    pixel: float


class Surface(NamedTuple):
    """height: float32 [H, W], units towards the viewer. colour: float32 [H, W, 3], reflectance."""

    height: np.ndarray
    colour: np.ndarray


def make_grid(height: int, width: int) -> Grid:
    """Lays the grid of an image of height x width pixels."""
    pixel = SHORT_SIDE / min(height, width)
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) * pixel
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) * pixel
    return Grid(*np.meshgrid(y, x, indexing="ij"), pixel)


def smoothstep(values: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    clipped = np.clip(values, 0.0, 1.0)
    return clipped * clipped * (3.0 - 2.0 * clipped)


def blend(under: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Paints `over` ([3] or [H, W, 3]) on `under` [H, W, 3] with the opacity alpha [H, W]."""
    return under + alpha[..., None] * (np.asarray(over, np.float32) - under)


def _taps(positions: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Cubic B-spline: first knot int [P] and the weights of four knots, float32 [4, P]."""
    scaled = (positions - positions[0]) / spacing
    first = np.floor(scaled).astype(int)
    t = scaled - first
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    )
    return first, weights / 6.0


def noise(rng: np.random.Generator, grid: Grid, scale_y: float, scale_x: float) -> np.ndarray:
    """Smooth noise, float32 [H, W], mean 0, deviation about 1; the sizes of its spots in units."""
    row, row_weights = _taps(grid.y[:, 0], scale_y)
    column, column_weights = _taps(grid.x[0], scale_x)
    knots = rng.standard_normal((row[-1] + 4, column[-1] + 4), dtype=np.float32)
    # Explicit sums, not matrix products: the bytes must not depend on a BLAS library.
    rows = sum(row_weights[k][:, None] * knots[row + k] for k in range(4))
    field = sum(column_weights[k] * rows[:, column + k] for k in range(4))
    return (field / 0.48).astype(np.float32)


def fractal(rng: np.random.Generator, grid: Grid, scale: float, octaves: int = 3) -> np.ndarray:
    """Rough noise, float32 [H, W], deviation about 1: each octave half as large and strong."""
    layers = [noise(rng, grid, scale / 2**k, scale / 2**k) / 2**k for k in range(octaves)]
    return sum(layers) / np.sqrt(sum(0.25**k for k in range(octaves)))


def follow(start: np.ndarray, headings: np.ndarray, length: float) -> np.ndarray:
    """The path [S + 1, 2] from `start`, equal steps towards the headings [S] (radians)."""
    steps = np.stack([np.sin(headings), np.cos(headings)], axis=1) * (length / len(headings))
    return start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def path_distance(grid: Grid, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each pixel to a path [P, 2] and its place along it (0..1), float32 [H, W]."""
    start = path[:-1, :, None, None].astype(np.float32)
    step = np.diff(path, axis=0)[:, :, None, None].astype(np.float32)
    dy, dx = grid.y - start[:, 0], grid.x - start[:, 1]
    t = np.clip((dy * step[:, 0] + dx * step[:, 1]) / (step**2).sum(axis=1), 0.0, 1.0)
    squared = (dy - t * step[:, 0]) ** 2 + (dx - t * step[:, 1]) ** 2
    nearest = squared.argmin(axis=0)[None]
    along = (nearest + np.take_along_axis(t, nearest, 0))[0] / len(step)
    return np.sqrt(np.take_along_axis(squared, nearest, 0)[0]), along.astype(np.float32)


def concrete(rng: np.random.Generator, grid: Grid) -> Surface:
    """Bare concrete: a grey of its own, cloudy and grainy, with weather on it."""
    tone = rng.uniform(0.26, 0.62) * (1 + rng.uniform(-0.6, 1) * np.array([0.12, 0.02, -0.14]))
    clouds = rng.uniform(0.04, 0.11) * fractal(rng, grid, rng.uniform(14, 30))
    grain = rng.uniform(0.02, 0.05) * fractal(rng, grid, 2.4, 2)
    colour = (1 + clouds + grain)[..., None] * tone
    height = 0.12 * fractal(rng, grid, 3.0, 2)
    return Surface(height.astype(np.float32), colour.astype(np.float32))


def formwork(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """The prints of the boards: straight parallel joints, each board with its own tone."""
    across, along = (grid.y, grid.x) if rng.random() < 0.5 else (grid.x, grid.y)
    across = across + rng.uniform(-0.04, 0.04) * along
    width = rng.uniform(14, 34)
    board = across / width + rng.random()
    joint = (board - np.round(board)) * width
    tones = rng.normal(1.0, 0.05, 64).astype(np.float32)[np.floor(board + 0.5).astype(int) + 32]
    ridge = np.exp(-((joint / 0.8) ** 2)) * rng.uniform(0.5, 1.1) * rng.choice([-1, 1])
    return Surface(surface.height + ridge, surface.colour * tones[..., None])


def blowholes(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """Small round holes where air bubbles sat on the formwork."""
    count = rng.integers(3, 16)
    y = rng.uniform(grid.y[0, 0], grid.y[-1, 0], (count, 1, 1)).astype(np.float32)
    x = rng.uniform(grid.x[0, 0], grid.x[0, -1], (count, 1, 1)).astype(np.float32)
    radius = rng.uniform(0.7, 1.7, (count, 1, 1)).astype(np.float32)
    bowl = 1 - ((grid.y - y) ** 2 + (grid.x - x) ** 2) / radius**2
    depth = np.clip(bowl * radius, 0.0, None).max(axis=0)
    colour = surface.colour * (1 - 0.45 * smoothstep(depth))[..., None]
    return Surface(surface.height - 1.6 * depth, colour)


def tie_hole(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """The plugged hole of a formwork anchor: a disc of other mortar in a shallow ring."""
    y, x = rng.uniform(-26, 26, 2)
    distance = np.hypot(grid.y - y, grid.x - x)
    radius = rng.uniform(2.5, 4.0)
    disc = smoothstep(radius - distance + 0.5)
    ring = np.exp(-((distance - radius) ** 2) / 0.5)
    colour = surface.colour * (1 + rng.uniform(-0.2, 0.12) * disc - 0.25 * ring)[..., None]
    return Surface(surface.height - 0.8 * ring, colour)


def water_marks(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """Grey streaks where rain runs down: darker, but without a colour."""
    streaks = noise(rng, grid, 40.0, rng.uniform(2.5, 5.0)) + noise(rng, grid, 24.0, 12.0)
    dark = rng.uniform(0.15, 0.4) * smoothstep(0.5 * streaks)
    return surface._replace(colour=surface.colour * (1 - dark)[..., None])


def bloom(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """Moss, soil or soot: wide clouds with soft borders."""
    alpha = rng.uniform(0.3, 0.6) * smoothstep(0.5 * fractal(rng, grid, rng.uniform(14, 30)))
    return surface._replace(colour=blend(surface.colour, rng.choice(BLOOM_COLOURS), alpha))


def repair(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """A rectangle of other mortar, paler or darker and smoother than the rest."""
    y, x = grid.y - rng.uniform(-28, 28), grid.x - rng.uniform(-28, 28)
    tilt, (half_y, half_x) = rng.normal(0, 0.06), rng.uniform(6, 18, 2)
    inside = np.minimum(half_y - np.abs(y + tilt * x), half_x - np.abs(x - tilt * y))
    alpha = smoothstep((inside + 0.25 * noise(rng, grid, 2.0, 2.0)) / 1.2)
    tone = rng.uniform(0.65, 0.85) if rng.random() < 0.5 else rng.uniform(1.2, 1.5)
    mortar = surface.colour.mean(axis=(0, 1)) * tone
    alpha = alpha * np.clip(rng.uniform(0.5, 0.8) + 0.15 * fractal(rng, grid, 6.0), 0.0, 1.0)
    return Surface(surface.height + 0.3 * alpha, blend(surface.colour, mortar, alpha))


def graffiti(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """One to three swinging strokes of saturated spray paint."""
    paint = rng.choice(GRAFFITI_COLOURS) * rng.uniform(0.7, 1.2)
    colour, worn = surface.colour, 0.12 * fractal(rng, grid, 4.0, 2)
    half, place = rng.uniform(1.3, 2.6), np.linspace(0, 1, 18)
    for _ in range(rng.integers(1, 4)):
        swing = rng.normal(0, 2.5) * place + rng.uniform(0.5, 1.6) * np.sin(
            2 * np.pi * (rng.uniform(0.7, 1.6) * place + rng.random())
        )
        headings = rng.uniform(0, 2 * np.pi) + swing
        path = follow(rng.uniform(-30, 30, 2), headings, rng.uniform(30, 75))
        distance, _ = path_distance(grid, path)
        stroke = smoothstep((half - distance) / 1.6 + 0.5)
        colour = blend(colour, paint, np.clip(stroke * (0.85 - worn), 0.0, 1.0))
    return surface._replace(colour=colour)


# layer, share of the images that have it. All images draw from this list, whatever their labels.
CLUTTER = (
    (formwork, 0.45),
    (water_marks, 0.50),
    (bloom, 0.40),
    (repair, 0.30),
    (blowholes, 0.60),
    (tie_hole, 0.20),
    (graffiti, 0.35),
)


def add_clutter(rng: np.random.Generator, grid: Grid, surface: Surface) -> Surface:
    """Adds what is no defect but looks like something."""
    for layer, share in CLUTTER:
        if rng.random() < share:
            surface = layer(rng, grid, surface)
    return surface


def _shifted(field: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """result[y, x] = field[y + rows, x + columns], the border repeated."""
    y = np.clip(np.arange(field.shape[0]) + rows, 0, field.shape[0] - 1)
    x = np.clip(np.arange(field.shape[1]) + columns, 0, field.shape[1] - 1)
    return field[y[:, None], x]


def _sunlight(grid: Grid, height: np.ndarray, azimuth: float, slope: float) -> np.ndarray:
    """Direct light, float32 [H, W], 1 where flat and open; slope: tangent of the sun's height."""
    toward = np.array([np.sin(azimuth), np.cos(azimuth)])
    dy, dx = np.gradient(height, grid.pixel)
    facing = (slope - dy * toward[0] - dx * toward[1]) / np.sqrt(1 + dy**2 + dx**2)
    blocked = np.zeros_like(height)
    for reach in (1.0, 2.0, 3.0, 4.0, 6.0):
        rows, columns = np.round(reach * toward / grid.pixel).astype(int)
        blocked = np.maximum(blocked, _shifted(height, rows, columns) - height - slope * reach)
    return np.clip(facing / slope, 0.0, 2.2) * (1 - smoothstep(blocked / 0.8))


def _soft_shadow(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Light that something out of sight leaves, float32 [H, W]: a soft edge or a gradient."""
    angle, soft = rng.uniform(0, 2 * np.pi), rng.uniform(6, 40)
    across = grid.y * np.sin(angle) + grid.x * np.cos(angle) + 2.5 * noise(rng, grid, 20.0, 20.0)
    return 1 - rng.uniform(0.2, 0.55) * smoothstep((across - rng.uniform(-20, 20)) / soft + 0.5)


def photograph(rng: np.random.Generator, grid: Grid, surface: Surface) -> np.ndarray:
    """Lights the surface and takes the picture: uint8 [H, W, 3]."""
    # The light comes from above, anywhere between left and right.
    sun = _sunlight(grid, surface.height, rng.uniform(-0.85, -0.15) * np.pi, rng.uniform(0.7, 1.3))
    pits = sum(_shifted(surface.height, 3 * i, 3 * j) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    sky = 1 / (1 + 0.25 * np.clip(pits - surface.height, 0.0, None))
    shadow = _soft_shadow(rng, grid) if rng.random() < 0.6 else np.ones_like(sky)
    light = shadow * (0.45 * sky + 0.55 * sun)
    cast = 1 + rng.uniform(-0.08, 0.08) * np.array([1.0, 0.0, -1.0])
    exposed = surface.colour * light[..., None] * (cast * rng.uniform(0.85, 1.3))
    grainy = exposed + rng.normal(0.0, rng.uniform(0.004, 0.018), exposed.shape)
    # A square root is the tone curve of a camera, near enough.
    return (255 * np.sqrt(np.clip(grainy, 0.0, 1.0))).round().astype(np.uint8)
