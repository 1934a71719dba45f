"""What drawing and reinforcing add to a controller phase, whose samples each cost an evaluation."""

import numpy as np
from tqdm import tqdm

from AEROBI.architecture import Architecture
from AEROBI.scoring import metrics
from AEROBI.seeds import seed_pair
from bench.ours import Ours
from bench.report import Row
from bench.setting import Setting, random_batch
from bench.timing import milliseconds

TARGET = 1.15


def measure(setting: Setting, updates: int) -> list[Row]:
    """`updates` updates of 20 samples, and the evaluations of the same architectures in turn."""
    ours, batch = Ours(setting, controller=True, check=False), random_batch(setting)
    graph, count = ours.controller, setting.config().controller.samples_per_update
    update, make = graph.reinforce, ours.session.make_callable
    draw = make(graph.drawn, [graph.count, graph.seed])
    reinforce = make(
        [update.loss, update.baseline, update.reward, graph.entropy, graph.skip_count,
         update.step.grad_norm, update.step.train_op], [graph.arcs, graph.worth])

    def evaluations(arcs: np.ndarray) -> list[np.ndarray]:
        return [ours.evaluate(batch, Architecture.from_numbers(arc, setting.layers))
                for arc in arcs]

    def phase(step: int) -> None:
        arcs = draw(count, seed_pair(0, "controller arcs", step))
        exact = [metrics.exact_matches(logits, batch.labels).mean()
                 for logits in evaluations(arcs)]
        reinforce(arcs, np.array(exact, np.float32))

    phase(0)
    phases, alone = [], []
    for step in tqdm(range(1, updates + 1), "controller", leave=False, disable=None):
        arcs = draw(count, seed_pair(0, "controller arcs", step))
        pair = [(phases, lambda step=step: phase(step)),
                (alone, lambda arcs=arcs: evaluations(arcs))]
        for times, work in pair if step % 2 else reversed(pair):
            times.append(milliseconds(work))
    ours.close()
    return _rows(setting, updates * count, phases, alone)


def _rows(setting: Setting, samples: int, phases: list[float],
          alone: list[float]) -> list[Row]:
    where = f"{samples} samples, {setting}"
    return [
        Row("controller", where, "controller phase", sum(phases) / 1e3, "s"),
        Row("controller", where, "its evaluations alone", sum(alone) / 1e3, "s"),
        Row("controller", where, "phase / evaluations", sum(phases) / sum(alone), "ratio",
            target=f"<= {TARGET}")]
