"""The film of a search as MP4 or GIF, a frame for every k-th sampled architecture."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from AEROBI.drawing.operation_styles import LIGHT, Theme
from AEROBI.drawing.search_frames import Stage
from AEROBI.drawing.video_file import write_gif, write_mp4
from AEROBI.records.search_history import SearchHistory

MP4_FPS = 20.0
GIF_FPS = 8.0
GIF_FRAMES = 150  # at most, unless the caller names the step
GIF_BYTES = 2_000_000
_MP4_DPI, _GIF_DPI = 120, 80  # of 8 x 4.5 inches: 960 x 540 and 640 x 360 pixels
_PALETTE_SAMPLES = 12

_log = logging.getLogger(__name__)


def save_mp4(history: SearchHistory, path: Path, every: int = 1, fps: float = MP4_FPS,
             theme: Theme = LIGHT) -> int:
    """Writes 960 x 540 pixels in H.264; returns the number of frames.

    Args:
        every: a frame for every so many architectures; the last one is always there.
        fps: frames a second.

    Raises:
        MissingExtraError: a library of the extra viz is not installed.
        VideoError, OSError: it cannot be written; the old file is as it was.
    """
    stage = Stage(history, theme, _MP4_DPI)
    indices = frame_indices(len(history.architectures), every)
    write_mp4(path, _frames(stage, indices, path.name), stage.size, fps)
    return len(indices)


def save_gif(history: SearchHistory, path: Path, every: int | None = None, fps: float = GIF_FPS,
             theme: Theme = LIGHT) -> int:
    """Writes 640 x 360 pixels, repeating; returns the number of frames.

    Without `every` there are at most GIF_FRAMES frames, and fewer where the file would be larger
    than GIF_BYTES. The rest is as in `save_mp4`.
    """
    stage = Stage(history, theme, _GIF_DPI)
    count = len(history.architectures)
    step = every or math.ceil(count / GIF_FRAMES)
    while True:
        indices = frame_indices(count, step)
        samples = [bytes(stage.frame(index)) for index in
                   frame_indices(count, math.ceil(count / _PALETTE_SAMPLES))]
        write_gif(path, _frames(stage, indices, path.name), stage.size, fps, samples)
        if every or path.stat().st_size <= GIF_BYTES or len(indices) == 1:
            return len(indices)
        step = math.ceil(1.05 * step * path.stat().st_size / GIF_BYTES)
        _log.info("%s: more than %d bytes; again with every %d. architecture", path, GIF_BYTES,
                  step)


def frame_indices(count: int, every: int) -> range:
    """Every so many of `count` architectures, the last one among them."""
    return range((count - 1) % every, count, every)


def _frames(stage: Stage, indices: Sequence[int], name: str) -> Iterator[memoryview]:
    """The frames, with a progress bar."""
    for index in tqdm(indices, desc=name, unit=" frames", leave=False, disable=None):
        yield stage.frame(index)
