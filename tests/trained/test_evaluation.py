"""The command `aerobi evaluate`, on a real tiny training."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tiny_run

from AEROBI.commands import evaluate as evaluate_command
from AEROBI.commands import export as export_command
from AEROBI.commands import select as select_command
from AEROBI.data.packed_images import open_packed
from AEROBI.data_utils import CLASS_NAMES, read_data_set
from AEROBI.records import split_predictions
from AEROBI.scoring import thresholds
from AEROBI.scoring.metrics import evaluate
from AEROBI.trained import evaluation
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.evaluation import Views
from AEROBI.trained.overrides import DataPlace, Overrides


class Brightness:
    """A classifier that says how bright the left upper pixel is, for each channel."""

    class_names, img_size = ("r", "g", "b"), 16
    thresholds = np.full(3, 0.5, np.float32)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] → float32 [n, 3]."""
        assert images.dtype == np.uint8 and images.shape[1:] == (16, 16, 3)
        return images[:, 0, 0].astype(np.float32) / 255


def test_the_numbers_are_those_of_the_training(tiny_final, tmp_path, capsys):
    output = tmp_path / "test.json"
    assert evaluate_command.main([str(tiny_final), f"--output={output}",
                            f"--cache_dir={tmp_path}"]) == 0
    record, printed = json.loads(output.read_text()), capsys.readouterr().out
    kept = split_predictions.load(tiny_final / "predictions_test.npz")
    expected = evaluate(kept.logits, kept.labels, kept.class_names)
    assert record["exact_match"] == expected.exact_match
    assert record["split"] == "test" and record["images"] == len(kept.labels)
    for k, name in enumerate(CLASS_NAMES):
        label = record["labels"][name]
        assert label["recall"] == pytest.approx(expected.recall[k])
        low, high = label["recall_interval"] or (0, 1)
        assert low <= label["recall"] <= high
        assert name in printed
    low, high = record["exact_match_interval"]
    assert low <= record["exact_match"] <= high
    assert "95 % bootstrap" in printed and "exact match" in printed


def test_tuned_thresholds_are_those_of_the_validation_split(tiny_final, tmp_path):
    output = tmp_path / "val.json"
    assert evaluate_command.main([str(tiny_final), "--split=val", "--thresholds=tuned",
                            f"--output={output}", f"--cache_dir={tmp_path}"]) == 0
    record = json.loads(output.read_text())
    kept = split_predictions.load(tiny_final / "predictions_val.npz")
    probabilities = 1 / (1 + np.exp(-kept.logits))
    tuned = thresholds.tune(probabilities, kept.labels)
    found = [record["labels"][name]["threshold"] for name in CLASS_NAMES]
    np.testing.assert_allclose(found, tuned, atol=1e-4)
    plain = evaluate(kept.logits, kept.labels, kept.class_names)
    assert record["exact_match"] >= plain.exact_match


@pytest.mark.parametrize("views, count", [
    (Views(), 1), (Views(flip=True), 2), (Views(five_crop=True), 5), (Views(True, True), 10)])
def test_probabilities_are_means_over_the_views(views, count, tiny_data, tmp_path):
    split = open_packed(read_data_set(str(tiny_data)), 16, str(tmp_path))["val"]
    found = evaluation.probabilities_of(Brightness(), split, views)
    assert views.count == count and found.shape == (len(split.labels), 3)
    for i in (0, 7):
        image = split.image(i).astype(np.float32) / 255
        height, width = image.shape[:2]
        corners = [((height - 16) // 2, (width - 16) // 2)]
        if views.five_crop:
            corners += [(0, 0), (0, width - 16), (height - 16, 0), (height - 16, width - 16)]
        pixels = [image[top, left] for top, left in corners]
        if views.flip:
            pixels += [image[top, left + 15] for top, left in corners]
        np.testing.assert_allclose(found[i], np.mean(pixels, 0), rtol=1e-5)


@pytest.mark.parametrize("words, part", [
    (["--data_path=/no/such"], "/no/such"), (["--child_fixed_arc=1 1 1 1 1 1"], "leave the flag"),
    (["--output=/no/such/folder/x.json"], "/no/such/folder")])
def test_errors_are_one_line(words, part, tiny_final, tmp_path, capsys):
    assert evaluate_command.main([str(tiny_final), f"--cache_dir={tmp_path}", *words]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("Error: ") and part in error


def test_another_data_set_is_refused(tiny_final, tmp_path, capsys):
    table = tmp_path / "labels.csv"
    rows = [f"{split}.png,{split},1" for split in ("train", "val", "test")]
    table.write_text("\n".join(["img_path,split,Rust", *rows]))
    from PIL import Image
    for split in ("train", "val", "test"):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{split}.png")
    assert evaluate_command.main([str(tiny_final), f"--data_path={table}"]) == 2
    assert "Rust" in capsys.readouterr().err


def test_a_model_without_a_run_needs_the_data_named():
    from pathlib import Path

    from AEROBI.config import ConfigError
    with pytest.raises(ConfigError, match="--data_path"):
        evaluation._data_of(Path("/no/such/model"), None, DataPlace())


def test_a_run_and_its_export_in_a_folder_that_reads_as_a_pattern(tiny_final, tiny_data, tmp_path):
    folder = tmp_path / "runs[1] \\d"
    folder.mkdir()
    shutil.copytree(tiny_final, folder / "run")
    assert export_command.main([
        str(folder / "run"), f"--output={folder / 'model'}", f"--cache_dir={tmp_path}"]) == 0
    place = DataPlace(str(tiny_data), str(tmp_path))
    expected = evaluation.evaluate(tiny_final, place=place).metrics
    for model in (folder / "run", folder / "model"):
        found = evaluation.evaluate(model, place=place).metrics
        assert found.exact_match == expected.exact_match
    with open_classifier(folder / "run", Overrides(last=True)) as classifier:
        assert classifier.img_size == 16


@pytest.fixture
def swapped(tiny_data, tmp_path):
    """The data set with two validation images of different labels exchanged; counts stay."""
    folder = tmp_path / "swapped"
    shutil.copytree(tiny_data, folder)
    split = read_data_set(str(folder)).splits["val"]
    other = next(i for i, row in enumerate(split.labels) if (row != split.labels[0]).any())
    first, second = (pathlib.Path(split.paths[i]) for i in (0, other))
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    return folder


def test_other_data_than_those_of_the_run_are_refused(tiny_final, tiny_search, tiny_data, swapped,
                                                      tmp_path, capsys):
    cache = f"--cache_dir={tmp_path / 'cache'}"
    for kind, run in (("final", tiny_final), ("search", tiny_search)):
        shutil.copytree(run, tmp_path / kind)
        config = tmp_path / kind / "config.json"
        record = json.loads(config.read_text())
        assert record["configuration"]["data_path"] == str(tiny_data)
        record["configuration"] |= {"data_path": str(swapped), "cache_dir": str(tmp_path)}
        config.write_text(json.dumps(record))
    model, output = str(tmp_path / "final"), f"--output={tmp_path / 'out'}"
    for command, words in ((evaluate_command, [model, cache]), (export_command, [
            model, output, cache]), (select_command, [str(tmp_path / "search"), "--samples=2"])):
        assert command.main(words) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("Error: ") and "other images or labels" in error
    # Asked for by name, any data set of these classes will do.
    assert evaluate_command.main([model, cache, f"--data_path={swapped}"]) == 0


def test_a_run_is_not_resumed_on_other_data(swapped, tiny_data, tmp_path):
    flags = {**tiny_run.SHALLOW_FINAL, "num_epochs": 1, "data_path": tiny_data,
             "cache_dir": tmp_path, "output_dir": tmp_path / "run"}
    tiny_run.run(flags)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    output = tiny_run.run({**flags, "data_path": swapped}, expect=2)
    assert f"{swapped} holds other images or labels" in output and "Traceback" not in output
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before
    moved = tmp_path / "moved"
    shutil.copytree(tiny_data, moved)  # where the data lie is no matter
    tiny_run.run({**flags, "data_path": moved})


def test_classes_in_another_order_are_refused(tiny_final, tiny_search, tiny_data, tmp_path, capsys):
    data_set = read_data_set(str(tiny_data))
    rows = [",".join(["image", "split", *reversed(CLASS_NAMES)])]
    for name, split in data_set.splits.items():
        rows += [",".join([path, name, *map(str, labels[::-1])])
                 for path, labels in zip(split.paths, split.labels)]
    table = shutil.copytree(tiny_data, tmp_path / "set") / "reversed.csv"
    rows = [row.replace(f"{tiny_data}/", "") for row in rows]
    table.write_text("\n".join(rows) + "\n")
    words = [f"--data_path={table}"]
    for command, more in (
            (export_command, [str(tiny_final), f"--output={tmp_path / 'out'}"]),
            (select_command, [str(tiny_search), "--img_size=16", "--samples=2"]),
            (evaluate_command, [str(tiny_final)])):
        assert command.main([*more, *words]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("Error: ") and "its classes CorrosionStain, " in error
