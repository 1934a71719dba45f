"""Frames into an MP4 or a GIF, by the ffmpeg that imageio-ffmpeg brings."""

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from AEROBI.drawing.extras import require
from AEROBI.run.whole_files import new_file

# H.264 as every browser plays it, the index at the front; colours as tagged (BT.709).
_MP4 = ("-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,"
        "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709",
        "-c:v", "libx264", "-preset", "veryfast", "-tune", "animation", "-crf", "23",
        "-movflags", "+faststart", "-f", "mp4")
_PALETTE = ("-vf", "palettegen=max_colors=128:stats_mode=full", "-frames:v", "1",
            "-c:v", "png", "-f", "image2pipe")
# Flat colours: no dithering, which would shimmer and triple the size.
_GIF = ("-lavfi", "[0:v][1:v]paletteuse=dither=none:diff_mode=rectangle",
        "-final_delay", "250", "-f", "gif")
Size = tuple[int, int]  # width, height in pixels
Frames = Iterable[bytes | memoryview]  # uint8 RGBA, each height x width x 4


class VideoError(RuntimeError):
    """ffmpeg could not write the file; the message is its own last line."""


def write_mp4(path: Path, frames: Frames, size: Size, fps: float) -> None:
    """H.264, yuv420p; `size` must be even. `path` is replaced when the whole film is there.

    Raises:
        MissingExtraError: imageio-ffmpeg is not installed.
        VideoError, OSError: it cannot be written; the old file is as it was.
    """
    _write(path, frames, _raw(size, fps), _MP4)


def write_gif(path: Path, frames: Frames, size: Size, fps: float,
              samples: Sequence[bytes]) -> None:
    """A GIF that repeats, with one palette for all; its colours are those of `samples`.

    Raises:
        MissingExtraError: imageio-ffmpeg is not installed.
        VideoError, OSError: it cannot be written; the old file is as it was.
    """
    with tempfile.TemporaryDirectory() as folder:
        palette = Path(folder, "palette.png")
        _write(palette, samples, _raw(size, fps), _PALETTE)
        _write(path, frames, (*_raw(size, fps), "-f", "png_pipe", "-i", str(palette)), _GIF)


def _raw(size: Size, fps: float) -> tuple[str, ...]:
    """The arguments that describe frames coming in through a pipe."""
    return ("-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}",
            "-i", "pipe:0")


def _write(path: Path, frames: Frames, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    command = (_ffmpeg(), "-y", "-nostdin", "-loglevel", "error", *inputs, *outputs)
    # MP4 needs a file to go back in, no pipe.
    with new_file(path.resolve()) as file, tempfile.TemporaryFile() as complaints:
        _encode((*command, f"file:{file.name}"), frames, complaints)


def _ffmpeg() -> str:
    """The program: of imageio-ffmpeg, or where its wheel has none, of the system."""
    try:
        return require("imageio_ffmpeg").get_ffmpeg_exe()
    except RuntimeError as error:
        raise VideoError(str(error).strip().splitlines()[0]) from None


def _encode(command: Sequence[str], frames: Frames, complaints: BinaryIO) -> None:
    """Runs ffmpeg on the frames; it is gone at the end, however that comes.

    `imageio_ffmpeg.write_frames` does the same, but neither gives ffmpeg's status nor its words: a
    film that broke off would pass for a whole one.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints)
    try:
        try:
            for frame in frames:
                process.stdin.write(frame)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has stopped: its status and words follow
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stdin = None
    if status:
        complaints.seek(0)
        lines = complaints.read().decode(errors="replace").strip().splitlines()
        raise VideoError(f"ffmpeg: {lines[-1] if lines else f'status {status}'}")
