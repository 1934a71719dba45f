"""What the files of a run tell after a kill: where it was, whether a line is torn, what differs."""

import collections
import contextlib
import json
import pathlib
import re


def finished(output: pathlib.Path) -> list[int]:
    """Numbers of the checkpoints that the Saver's list names, the newest first."""
    with contextlib.suppress(OSError):
        text = (output / "checkpoints" / "checkpoint").read_text()
        found = re.findall(r'^\w+_path: "checkpoint-(\d+)"', text, re.MULTILINE)
        return sorted({int(number) for number in found}, reverse=True)
    return []


def unfinished(output: pathlib.Path) -> list[str]:
    """Files of checkpoints that the Saver's list does not name yet."""
    last = max(finished(output), default=-1)
    names = [path.name for path in (output / "checkpoints").glob("checkpoint-*")]
    return [name for name in names if int(re.match(r"checkpoint-(\d+)", name)[1]) > last]


def counters_of(output: pathlib.Path) -> str:
    """Child steps and controller updates of the newest finished checkpoint."""
    numbers = finished(output)
    if not numbers:
        return "start"
    text = (output / "checkpoints" / f"checkpoint-{numbers[0]}.json").read_text()
    counters = json.loads(text)["position"]["counters"]
    return f"{counters['child_step']} + {counters['controller_step']}"


def state_of(output: pathlib.Path) -> str:
    """What the files of a killed run tell of its moment."""
    if unfinished(output):
        return "in a checkpoint"
    log = output / "stdout"
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    last = next((line for line in reversed(lines) if "=" in line or "Eval" in line), "")
    kinds = (("ctrl_step=", "controller"), ("ch_step=", "child step"), ("val_acc=", "printing"),
             ("Eval", "evaluation"))
    return next((name for mark, name in kinds if mark in last), "before the first step")


def torn_lines(output: pathlib.Path) -> list[str]:
    """Faults of the JSON lines of a run, at any moment."""
    found = []
    for name, key in (("metrics.jsonl", ("kind", "split", "step", "exact_match", "loss")),
                      ("architectures.jsonl", ("epoch", "index"))):
        path = output / name
        lines = path.read_text("utf-8", "replace").split("\n") if path.exists() else [""]
        if lines[-1]:
            found.append(f"{name}: torn at its end")
        records = []
        for line in lines[:-1]:
            try:
                records.append(json.loads(line))
            except ValueError:
                found.append(f"{name}: torn")
        counts = collections.Counter(tuple(record.get(part) for part in key) for record in records)
        if max(counts.values(), default=0) > 1:
            found.append(f"{name}: doubled")
    return found


def differences(whole: pathlib.Path, output: pathlib.Path) -> list[str]:
    """Between a run that was never killed and one that was: names of what differs."""
    import numpy as np
    import tensorflow.compat.v1 as tf
    readers = [tf.train.load_checkpoint(str(run / "checkpoints")) for run in (whole, output)]
    shapes, others = (reader.get_variable_to_shape_map() for reader in readers)
    found = [] if shapes == others else ["names of variables"]
    found += [name for name in shapes if name in others and not np.array_equal(
        *(reader.get_tensor(name) for reader in readers), equal_nan=True)]
    files = ["metrics.jsonl", "architectures.jsonl", "best_architecture.txt"]
    found += [name for name in files if (whole / name).exists()
              and (whole / name).read_bytes() != (output / name).read_bytes()]
    if log_of(whole) != log_of(output):
        found.append("stdout")
    return found + torn_lines(output)


def log_of(output: pathlib.Path) -> list[str]:
    """Lines from the first step on, without times and the lines that say a run was resumed."""
    text = re.sub(r"mins=\S+ *", "", (output / "stdout").read_text())
    lines = [line for line in text.splitlines() if not line.startswith("Resuming after")]
    return lines[next(i for i, line in enumerate(lines) if line.startswith("epoch=")):]
