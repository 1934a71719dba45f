"""Packing and reading images, against Pillow alone and PyTorch's DataLoader.

`python -m bench.data FOLDER IMAGES MANY`, a process of its own: the workers of the DataLoader
must not begin as copies of a process that runs networks.
"""

from bench.torch_first import torch

# isort: split
import dataclasses
import io
import json
import os
import pathlib
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from AEROBI.data.input_pipeline import StreamConfig, load_batch
from AEROBI.data.packed_images import open_packed
from AEROBI.data_utils import CLASS_NAMES, DataSet, read_data_set
from bench.report import Row
from bench.timing import milliseconds

SIDE, BATCH = 224, 16
WIDTH, HEIGHT = 700, 500
PACKING_TARGET, AT_PILLOW = 150, 0.9
READING_TARGET, STARTUP_TARGET = 20, 2
REPEATS = 3
SPLIT_SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def write_tree(root: pathlib.Path, contents: Sequence[bytes]) -> DataSet:
    """A data set in CODEBRIM's layout, of these PNG files."""
    names = [f"image_{k:07d}_crop_0000001.png" for k in range(len(contents))]
    start = 0
    for split, share in SPLIT_SHARES.items():
        for folder in ("background", "defects"):
            (root / split / folder).mkdir(parents=True)
        end = start + max(1, int(share * len(names)))
        for name, content in list(zip(names, contents))[start:end]:
            (root / split / "defects" / name).write_bytes(content)
        start = end
    labels = "".join(f"<{name}>{int(name == 'Crack')}</{name}>" for name in CLASS_NAMES)
    (root / "metadata").mkdir()
    for folder, listed in (("background", []), ("defects", names)):
        (root / "metadata" / f"{folder}.xml").write_text("<Annotation>" + "".join(
            f'<Defect name="{name}">{labels}</Defect>\n' for name in listed) + "</Annotation>\n")
    return read_data_set(str(root))


def photograph(rng: np.random.Generator, width: int, height: int) -> bytes:
    """PNG of a surface with grain, which compresses about as badly as a photograph."""
    coarse = Image.fromarray(rng.integers(60, 200, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    grain = rng.normal(0, 5, (height, width, 1)) + rng.normal(0, 2, (height, width, 3))
    buffer = io.BytesIO()
    pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def measure(folder: pathlib.Path, images: int, many: int) -> list[Row]:
    """All rows of the section; `images` large ones, and starts with 100 and `many`."""
    rng = np.random.default_rng(0)
    data_set = write_tree(
        folder / "large", [photograph(rng, WIDTH, HEIGHT) for _ in range(images)])
    paths = [path for split in data_set.splits.values() for path in split.paths]
    cache = folder / "cache"
    rates = _rates(len(paths), {
        "AEROBI packing": lambda: _pack(data_set, cache),
        "Pillow decoding alone": lambda: _decode(paths)})
    return [*_packing_rows(rates, len(paths)), *_reading_rows(data_set, cache, paths),
            *_start_rows(folder, many)]


def _rates(count: int, work: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Images a second of each, several times in turn."""
    rates = {name: [] for name in work}
    for _ in range(REPEATS):
        for name, task in work.items():
            rates[name].append(1e3 * count / milliseconds(task))
    return rates


def _pack(data_set: DataSet, cache: pathlib.Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    open_packed(data_set, SIDE, str(cache))


def _decode(paths: Sequence[str]) -> None:
    def decode(path: str) -> None:
        with Image.open(path) as image:
            image.load()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, paths))


def _rate_row(where: str, name: str, rates: Sequence[float]) -> Row:
    return Row("data", where, name, statistics.median(rates), "images/s", min(rates), max(rates),
               len(rates))


def _packing_rows(rates: dict[str, list[float]], count: int) -> list[Row]:
    where = f"packing {count} PNGs of {WIDTH} x {HEIGHT} px for {SIDE} px, {os.cpu_count()} cores"
    ours, pillow = (statistics.median(values) for values in rates.values())
    limit = min(PACKING_TARGET, AT_PILLOW * pillow)
    which = ("150 images/s is the limit" if limit == PACKING_TARGET else
             f"Pillow is the limit: it decodes {pillow:.0f} images/s, of which packing, with "
             f"scaling and writing, reaches {ours / pillow:.0%}")
    rows = [_rate_row(where, name, values) for name, values in rates.items()]
    rows[0] = dataclasses.replace(rows[0], target=f">= {limit:.0f}", note=which)
    return rows


def _reading_rows(data_set: DataSet, cache: pathlib.Path, paths: Sequence[str]) -> list[Row]:
    """Warm batches from the packed file, a training step, and the DataLoader's epoch."""
    split = open_packed(data_set, SIDE, str(cache))["train"]
    config = StreamConfig("train", BATCH, SIDE, 0, "train")
    times = [milliseconds(lambda i=i: load_batch(split, i, config)) for i in range(60)][10:]
    batch, step = statistics.median(times), _step_ms()
    where = f"reading batches of {BATCH} patches of {SIDE} px"
    rows = [
        Row("data", where, "AEROBI, from the packed file", batch, "ms", min(times), max(times),
            len(times)),
        Row("data", where, "AEROBI, training step, 16 filters", step, "ms"),
        Row("data", where, "step / batch", step / batch, "ratio",
            target=f">= {READING_TARGET}")]
    if torch is None:
        return rows
    from bench.torch_data import epoch_seconds

    seconds = epoch_seconds(paths, SIDE, BATCH, REPEATS)
    loader = 1e3 * BATCH * statistics.median(seconds) / len(paths)
    return [*rows,
            Row("data", where, "PyTorch DataLoader, 2 workers, decoding", loader, "ms"),
            Row("data", where, "AEROBI / DataLoader", batch / loader, "ratio")]


def _step_ms() -> float:
    from bench.ours import Ours
    from bench.setting import Setting, random_batch

    setting = Setting(16, SIDE, batch=BATCH)
    ours, batch = Ours(setting, check=False), random_batch(setting)
    times = [milliseconds(lambda a=a: ours.train(batch, a)) for a in setting.chosen()]
    ours.close()
    return statistics.median(times[1:])


def _start_rows(folder: pathlib.Path, many: int) -> list[Row]:
    """Reading names and labels, and opening what was packed before."""
    content = photograph(np.random.default_rng(0), 32, 32)
    where, seconds, few = "start-up: names, labels, packed file (32 px)", {}, 100
    for count in (few, many):
        root = folder / f"images_{count}"
        open_packed(write_tree(root, [content] * count), 32, str(folder / "cache"))
        start = time.perf_counter()
        open_packed(read_data_set(str(root)), 32, str(folder / "cache"))
        seconds[count] = time.perf_counter() - start
    return [*(Row("data", where, f"{count} images", spent, "s")
              for count, spent in seconds.items()),
            Row("data", where, "difference", seconds[many] - seconds[few], "s",
                target=f"<= {STARTUP_TARGET}")]


def main(folder: str, images: str, many: str) -> None:
    """Writes the rows as JSON."""
    rows = measure(pathlib.Path(folder), int(images), int(many))
    sys.stdout.write(json.dumps([dataclasses.asdict(row) for row in rows]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
