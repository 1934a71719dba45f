"""The five defects of the embedded data set, painted on a `Surface` where they occur in reality.

Bars lie in spalled patches, rust runs down from bars, lime seeps out of cracks, cracks cross
anything. Lengths are in units and points are (y, x), see `sample_textures`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from AEROBI.sample_data.textures import (
    Grid,
    Surface,
    blend,
    follow,
    fractal,
    noise,
    path_distance,
    smoothstep,
)

LIME = np.array([0.95, 0.94, 0.90])
RUST_PALE, RUST_DARK = np.array([0.62, 0.30, 0.10]), np.array([0.34, 0.15, 0.06])
STEEL = np.array([0.20, 0.18, 0.17])
STONES = np.array([[0.62, 0.58, 0.52], [0.42, 0.38, 0.34], [0.50, 0.50, 0.52], [0.30, 0.29, 0.29]])


class Pit(NamedTuple):
    """A spalled patch: its centre [2], two radii [2] along and across `angle` (radians), and how
    much of each pixel is inside, float32 [H, W]."""

    centre: np.ndarray
    radii: np.ndarray
    angle: float
    inside: np.ndarray


def _turned(grid: Grid, centre: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a direction, float32 [H, W] each, 0 at the centre."""
    y, x = grid.y - np.float32(centre[0]), grid.x - np.float32(centre[1])
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    return x * cosine + y * sine, y * cosine - x * sine


# --- cracks ----------------------------------------------------------------------------


def _wander(
    rng: np.random.Generator, start: np.ndarray, heading: float, length: float
) -> np.ndarray:
    """A path [P, 2] that keeps changing its mind, a segment every four units."""
    count = max(int(length / 4), 4)
    drift = np.cumsum(rng.normal(0.0, 0.12, count))
    return follow(start, heading + drift + rng.normal(0.0, 0.42, count), length)


def crack_path(rng: np.random.Generator, anchor: np.ndarray) -> np.ndarray:
    """The main line of a crack, [P, 2]: its middle is at the anchor, it may leave the image."""
    path = _wander(rng, np.zeros(2), rng.uniform(0, 2 * np.pi), rng.uniform(60, 110))
    return path - path[len(path) // 2] + anchor


def crack(rng: np.random.Generator, grid: Grid, surface: Surface, path: np.ndarray) -> Surface:
    """A thin dark wandering line with branches; its width changes along the way."""
    lines = [(path, rng.uniform(0.65, 1.15))]
    for _ in range(rng.integers(0, 3)):
        start = rng.integers(len(path) // 4, 3 * len(path) // 4)
        dy, dx = path[start + 1] - path[start]
        heading = np.arctan2(dy, dx) + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
        branch = _wander(rng, path[start], heading, rng.uniform(14, 32))
        lines.append((branch, rng.uniform(0.45, 0.75)))
    gap = np.zeros_like(grid.y)
    uneven, jagged = 1 + 0.25 * noise(rng, grid, 5.0, 5.0), 0.25 * noise(rng, grid, 1.8, 1.8)
    for line, half_width in lines:
        distance, along = path_distance(grid, line)
        half = half_width * uneven * (1.2 - 0.6 * along) + jagged * half_width
        gap = np.maximum(gap, smoothstep((half - distance) / max(grid.pixel, 0.8) + 0.5))
    return Surface(surface.height - 0.8 * gap, surface.colour * (1 - 0.86 * gap)[..., None])


# --- spallation and bars ---------------------------------------------------------------


def spall(
    rng: np.random.Generator, grid: Grid, surface: Surface, centre: np.ndarray, with_bars: bool
) -> tuple[Surface, Pit]:
    """A broken-out patch: a sharp ragged rim, a rough floor, stones showing."""
    low, high = ((19, 27), (14, 20)) if with_bars else ((12, 19), (10, 16))
    radii = np.array([rng.uniform(*low), rng.uniform(*high)])
    # Bars, and so the patches over them, follow the edges of the structure.
    turn = rng.normal(0, 0.15) + rng.integers(2) * np.pi / 2
    angle = turn if with_bars else rng.uniform(0, np.pi)
    along, across = _turned(grid, centre, angle)
    reach = _broken_polygon(rng, along / radii[0], across / radii[1])
    ragged = (reach + 0.16 * fractal(rng, grid, 9.0, 4)) * radii.min()
    inside = smoothstep(ragged / 1.2)
    ledges = rng.uniform(3.0, 4.5) * smoothstep(ragged / 2.0) + 0.12 * np.clip(ragged, 0, 12)
    rough = 0.8 * fractal(rng, grid, 6.0, 4)
    domes, stones = _aggregate(rng, grid, centre, radii)
    broken = surface.colour.mean(axis=(0, 1)) * rng.uniform(0.70, 1.15) * [1.05, 1.0, 0.93]
    floor = broken * (1 + 0.16 * fractal(rng, grid, 3.0, 3))[..., None]
    floor = blend(floor, stones, 0.75 * smoothstep(2 * domes))
    height = surface.height + inside * (rough + domes - ledges - surface.height)
    colour = blend(surface.colour, floor, inside)
    return Surface(height, colour.astype(np.float32)), Pit(centre, radii, angle, inside)


def _broken_polygon(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance to the outline of a crooked polygon around 0, positive inside, about 1 at 0.

    Concrete breaks along flat faces: straight pieces meeting in corners, not an ellipse.
    """
    corners = rng.integers(5, 9)
    angles = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) / corners
    sides = [
        rng.uniform(0.75, 1.05) - x * np.float32(np.cos(angle)) - y * np.float32(np.sin(angle))
        for angle in angles + rng.uniform(0, 2 * np.pi)
    ]
    return np.minimum.reduce(sides)


def _aggregate(
    rng: np.random.Generator, grid: Grid, centre: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Stones on the floor of a patch: domes float32 [H, W] (units) and colours [H, W, 3]."""
    count = 36
    spot = (centre + rng.uniform(-1.2, 1.2, (count, 2)) * radii.max()).astype(np.float32)
    radius = rng.uniform(1.0, 2.8, (count, 1, 1)).astype(np.float32)
    dy, dx = grid.y - spot[:, 0, None, None], grid.x - spot[:, 1, None, None]
    domes = radius * (1 - (dy * dy + dx * dx) / radius**2)
    nearest = domes.argmax(axis=0)
    tones = rng.choice(STONES, count) * rng.uniform(0.7, 1.2, (count, 1))
    return np.clip(domes.max(axis=0), 0, None) * 0.8, tones[nearest].astype(np.float32)


def bars(
    rng: np.random.Generator, grid: Grid, surface: Surface, pit: Pit, rusty: bool
) -> tuple[Surface, np.ndarray]:
    """Parallel ribbed bars in a patch, and points [S, 2] on them from which rust may run."""
    along, across = _turned(grid, pit.centre, pit.angle)
    count, radius = rng.integers(1, 4), rng.uniform(2.0, 2.7)
    spacing = rng.uniform(3.4, 4.6) * radius
    offsets = (np.arange(count) - (count - 1) / 2) * spacing + rng.uniform(-1.5, 1.5)
    bent = across + 0.6 * noise(rng, grid, 30.0, 30.0)
    beside = np.abs(bent[None] - offsets[:, None, None]).min(axis=0)
    round_top = np.sqrt(np.clip(radius**2 - beside**2, 0.0, None))
    rib = smoothstep(1.4 * np.sin(2 * np.pi * (along + 0.35 * bent) / rng.uniform(3.0, 3.8)))
    top = round_top * (1 + 0.22 * rib) - rng.uniform(2.2, 2.8)
    visible = smoothstep((radius - beside) / 0.8 + 0.3) * pit.inside
    scale = smoothstep(0.5 * fractal(rng, grid, 4.0) + (0.65 if rusty else -0.25))
    metal = blend(np.broadcast_to(STEEL, surface.colour.shape), RUST_DARK, 0.9 * scale)
    metal = metal * (0.9 + 0.25 * rib)[..., None] * rng.uniform(0.85, 1.3)
    height = surface.height + visible * (np.maximum(top, surface.height) - surface.height)
    colour = blend(surface.colour, metal, visible)
    place = rng.uniform(-0.6, 0.6, 5) * pit.radii[0]
    offset = rng.choice(offsets, 5)
    direction = np.array([np.sin(pit.angle), np.cos(pit.angle)])
    normal = np.array([np.cos(pit.angle), -np.sin(pit.angle)])
    sources = pit.centre + place[:, None] * direction + offset[:, None] * normal
    return Surface(height, colour.astype(np.float32)), sources


# --- deposits --------------------------------------------------------------------------


def _runs(
    rng: np.random.Generator, grid: Grid, sources: np.ndarray, length: float, width: float
) -> np.ndarray:
    """Drips running down from each source [S, 2], strength float32 [H, W] in 0..1."""
    shape = (len(sources), 1, 1)
    y = grid.y - sources[:, 0].reshape(shape)
    sway = rng.uniform(-0.03, 0.03, shape) * y + 0.7 * noise(rng, grid, 14.0, 14.0)
    x = grid.x - sources[:, 1].reshape(shape) + sway
    progress = y / (length * rng.uniform(0.6, 1.0, shape))
    half = width * rng.uniform(0.7, 1.3, shape) * (1 - 0.55 * np.clip(progress, 0, 1))
    fading = smoothstep(2.5 * (1 - progress)) * smoothstep(y / 2.0 + 1)
    return (np.exp(-((x / half) ** 2)) * fading).max(axis=0).astype(np.float32)


def _seep(grid: Grid, sources: np.ndarray, size: float) -> np.ndarray:
    """A soft blot around each source [S, 2], strength float32 [H, W] in 0..1."""
    dy = grid.y - sources[:, 0, None, None]
    dx = grid.x - sources[:, 1, None, None]
    return np.exp(-(dy * dy + dx * dx) / (2 * size**2)).max(axis=0).astype(np.float32)


def efflorescence(
    rng: np.random.Generator, grid: Grid, surface: Surface, sources: np.ndarray
) -> Surface:
    """White lime: blotchy crusts at the sources [S, 2] and streaks below them."""
    blots = _seep(grid, sources, rng.uniform(3.5, 5.5))
    streaks = _runs(rng, grid, sources, rng.uniform(18, 36), rng.uniform(1.8, 3.0))
    density = np.maximum(blots, 0.95 * streaks) + 0.20 * fractal(rng, grid, 5.0, 4)
    crust = smoothstep((density - 0.42) / 0.30)
    veil = 0.22 * smoothstep(density * 1.4)
    opacity = np.maximum(veil, rng.uniform(0.80, 0.95) * crust)
    colour = blend(surface.colour, LIME * rng.uniform(0.94, 1.04), opacity)
    bumps = 1 + 0.6 * fractal(rng, grid, 2.5, 2)
    return Surface(surface.height + 0.5 * crust * bumps, colour.astype(np.float32))


def corrosion_stain(
    rng: np.random.Generator, grid: Grid, surface: Surface, sources: np.ndarray
) -> Surface:
    """Orange-brown rust: stains at the sources [S, 2] and runs below them."""
    blots = _seep(grid, sources, rng.uniform(3.0, 5.0))
    streaks = _runs(rng, grid, sources, rng.uniform(28, 50), rng.uniform(2.0, 3.5))
    uneven = 1 + 0.28 * noise(rng, grid, 12.0, 1.4) + 0.22 * fractal(rng, grid, 4.0)
    density = np.maximum(0.85 * blots, streaks) * uneven
    strength = 0.55 * np.clip(density, 0, 1) + 0.45 * smoothstep((density - 0.2) / 0.6)
    # Thin rust dyes the concrete, thick rust covers it.
    dyed = surface.colour * [1.05, 0.58, 0.26] * rng.uniform(0.9, 1.1)
    pale = blend(dyed, RUST_PALE * rng.uniform(0.8, 1.05), np.full_like(strength, 0.5))
    thick = 0.35 + 0.3 * fractal(rng, grid, 5.0) + 0.5 * blots
    rust = blend(pale, RUST_DARK, 0.75 * smoothstep(thick))
    colour = blend(surface.colour, rust, rng.uniform(0.82, 0.95) * strength)
    return surface._replace(colour=colour.astype(np.float32))


# --- all together ----------------------------------------------------------------------


def paint_defects(
    rng: np.random.Generator, grid: Grid, surface: Surface, names: Collection[str]
) -> Surface:
    """Paints the named defects, from the deepest to the outermost layer.

    Args:
      names: class names; "ExposedBars" needs "Spallation", "Background" paints nothing.
    """
    places = _places(rng, names)
    path = crack_path(rng, places["Crack"])
    lime, rust = (_sources(rng, places[name]) for name in ("Efflorescence", "CorrosionStain"))
    if "Spallation" in names:
        with_bars = "ExposedBars" in names
        surface, pit = spall(rng, grid, surface, places["Spallation"], with_bars)
        if with_bars:
            surface, rust = bars(rng, grid, surface, pit, "CorrosionStain" in names)
    if "Crack" in names:
        surface = crack(rng, grid, surface, path)
        if rng.random() < 0.6:
            lime = path[rng.integers(len(path) // 4, 3 * len(path) // 4, 5)]
    if "CorrosionStain" in names:
        surface = corrosion_stain(rng, grid, surface, rust)
    if "Efflorescence" in names:
        surface = efflorescence(rng, grid, surface, lime)
    return surface


def _sources(rng: np.random.Generator, place: np.ndarray) -> np.ndarray:
    """Points [S, 2] scattered around a place; deposits run down, so they start above it."""
    count = rng.integers(3, 7)
    spread = rng.normal(0.0, 1.0, (count, 2)) * [2.5, 6.0]
    return place + spread - [8.0, 0.0]


def _places(rng: np.random.Generator, names: Collection[str]) -> dict[str, np.ndarray]:
    """A place [2] for each defect: close to the centre, but no two blots on the same spot."""
    blots = ["Spallation", "Efflorescence", "CorrosionStain"]
    if "ExposedBars" in names:
        blots.remove("CorrosionStain")  # its rust starts on the bars
    present = [name for name in blots if name in names]
    turn, away = rng.uniform(0, 2 * np.pi), 0.0 if len(present) < 2 else 13.0
    angles = turn + 2 * np.pi * np.arange(len(present)) / max(len(present), 1)
    places = dict.fromkeys([*blots, "CorrosionStain", "Crack"], np.zeros(2))
    for name, angle in zip(present, angles):
        places[name] = away * np.array([np.sin(angle), np.cos(angle)])
    return {name: place + rng.uniform(-10, 10, 2) for name, place in places.items()}
