"""A loss or gradient that is nan or infinite: told with its step, architecture and tensor.

The graph makes no update from such numbers (`train_ops`), so the weights are still those from
before the step when this looks at them, and the same batch shows again where it began. Looking
adds nothing to the graph and nothing to a step: what it fetches is there anyway, and it is
fetched when something is wrong, and before a checkpoint.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.config import SKIP
from AEROBI.training.graphs import ChildGraph

log = logging.getLogger(__name__)

MOST_SKIPPED = 100  # updates in a row; after so many the next one will be no better
SHOWN = 5  # names in a message


class NonFiniteError(RuntimeError):
    """Training cannot go on; the message names step, architecture and tensor, and the way out."""


class SkippedUpdate(NamedTuple):
    """An update that was not made."""

    kind: str  # "child" or "controller"
    number: int  # as in the log, from 1
    architecture: str
    numbers: dict[str, Any]  # what it reported, in the order in which it is computed


class NonFiniteGuard:
    """What a run does about numbers that are not finite."""

    def __init__(self, policy: str, session: tf.Session, graph: ChildGraph):
        """Guards the variables of the current graph, which is complete.

        Args:
            policy: "stop" or "skip", of the flag --on_nan.
            session: where they live.
            graph: of the child.
        """
        self._policy, self._skipped = policy, {}
        self._names = [v.op.name for v in tf.global_variables() if v.dtype.is_floating]
        self._values = session.make_callable(
            [v for v in tf.global_variables() if v.dtype.is_floating])
        self._trained = [v.op.name for v in tf.trainable_variables("child/")]
        self._diagnose = None
        if graph.diagnosis is not None:
            self._diagnose = session.make_callable(
                list(graph.diagnosis),
                [graph.stream, graph.arc, graph.lr, graph.seed, graph.progress])

    def check_weights(self, kept: str) -> None:
        """Checks all weights ahead of a checkpoint; `kept` names the last good one.

        Raises:
            NonFiniteError: a variable has a value that is not finite.
        """
        wrong = not_finite(dict(zip(self._names, self._values())))
        if wrong:
            raise NonFiniteError(f"not finite: {_listed(wrong)}; {_way_out(kept)}")

    def skip(self, step: SkippedUpdate) -> bool:
        """Whether the run goes on after an update that was not made; tells of it."""
        last, count = self._skipped.get(step.kind, (0, 0))
        count = count + 1 if step.number == last + 1 else 1
        self._skipped[step.kind] = step.number, count
        if self._policy != SKIP or count > MOST_SKIPPED:
            return False
        log.warning("%s; update left out", _told(step))
        return True

    def diagnosis(self, *inputs: Any) -> dict[str, np.ndarray]:
        """Values by name in the order of computation, of the next batch of a stream.

        Args:
            inputs: stream, arc, learning rate, seed and progress of the step, as fed to a
                ChildGraph.
        """
        if self._diagnose is None:
            return {}
        logits, loss, squares = self._diagnose(*inputs)
        backward = zip(reversed(self._trained), reversed(squares))
        return {"the logits": logits, "the loss": loss,
                **{f"the gradient of {name}": square for name, square in backward}}

    def stop(self, step: SkippedUpdate, diagnosis: Mapping[str, np.ndarray], kept: str) -> None:
        """Ends the run with a NonFiniteError that names step, architecture and tensor.

        Args:
            step: the update that was not made.
            diagnosis: of `diagnosis`, or empty.
            kept: names the last good checkpoint.

        Raises:
            NonFiniteError: always.
        """
        # Moving statistics follow a batch even where no update does.
        weights = {name: value for name, value in zip(self._names, self._values())
                   if "/moving_" not in name}
        wrong = not_finite({**weights, **diagnosis, **step.numbers})
        raise NonFiniteError(f"{_told(step)}; first not finite: {_listed(wrong)}; {_way_out(kept)}")


def not_finite(values: Mapping[str, Any]) -> list[str]:
    """Names of the values with a nan or an infinity, in their order."""
    return [name for name, value in values.items() if not np.isfinite(value).all()]


def describe_child_step(number: int, arc: np.ndarray, loss: float, norm: float) -> SkippedUpdate:
    """What is reported of a child step; `arc` is its architecture, int32 [D]."""
    return SkippedUpdate("child", number, _written(arc), {"loss": loss, "|g|": norm})


def describe_controller_step(number: int, arcs: np.ndarray,
                             numbers: Mapping[str, np.ndarray]) -> SkippedUpdate:
    """What is reported of a controller step: `arcs` int32 [B, D], `numbers` float32 [B] each."""
    wrong = [~np.isfinite(value) for value in numbers.values()]
    first = int(np.argmax(np.any(wrong, axis=0)))
    return SkippedUpdate("controller", number, _written(arcs[first]),
                {name: value[first] for name, value in numbers.items()})


def check(step: SkippedUpdate, guard: NonFiniteGuard, kept: str,
          diagnose: Callable[[], Mapping[str, np.ndarray]] = dict) -> None:
    """Goes on or stops, after a step that was not finite.

    Raises:
        NonFiniteError: the run is to stop.
    """
    if not guard.skip(step):
        guard.stop(step, diagnose(), kept)


def _written(arc: np.ndarray) -> str:
    return " ".join(str(int(number)) for number in arc)


def _told(step: SkippedUpdate) -> str:
    numbers = ", ".join(f"{name} {float(value):g}" for name, value in step.numbers.items())
    return f"{step.kind} step {step.number}: {numbers} under architecture {step.architecture}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "the norm of all gradients together") + more


def _way_out(kept: str) -> str:
    return (f"the last good checkpoint is kept ({kept}). Go on from it with --on_nan=skip, which "
            "leaves such updates out, or begin anew with a smaller learning rate")
