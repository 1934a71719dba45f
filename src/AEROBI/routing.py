"""Data flow that chooses at run time: of several sub-graphs one runs, forward and backward.

TensorFlow's `Switch` hands its input to one of two outputs and marks the other one dead; an
operation with a dead input does not run, and passes the mark on; `Merge` returns the input that is
alive. Sending a tensor through a chain of switches therefore runs one of several sub-graphs and
skips the rest, forward and, by the registered gradients of the two operations, backward as well.
Against `tf.cond` and `tf.switch_case` this costs no function graphs, no nesting, and no zero
tensors in place of the gradients of what did not run.
"""

from collections.abc import Callable, Sequence

import tensorflow.compat.v1 as tf

Branch = Callable[[tf.Tensor], tf.Tensor]


def switch(x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`x` twice, as (alive when false, alive when true); the other one is dead."""
    dead_or_false, dead_or_true = tf.raw_ops.Switch(data=x, pred=condition)
    return dead_or_false, dead_or_true


def merge(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The only one of `tensors` that is alive; all have the same dtype and rank."""
    merged = tf.raw_ops.Merge(inputs=list(tensors)).output
    merged.set_shape(tensors[0].shape)
    return merged


def run_one_of(x: tf.Tensor, conditions: Sequence[tf.Tensor],
               branches: Sequence[Branch]) -> tf.Tensor:
    """`branches[k](x)` for the first k whose condition holds, the last if none of them does.

    Only that branch runs, forward and backward. What a branch alone uses (weights) gets a
    gradient that is dead unless the branch ran: see `train_ops`, which expects that.

    Args:
        x: the input of every branch.
        conditions: bool [] each, one fewer than branches.
        branches: functions from a tensor to a tensor, results alike in dtype and shape.
    """
    for condition in conditions:
        condition.shape.assert_has_rank(0)
    outputs = []
    for condition, branch in zip(conditions, branches):
        x, chosen = switch(x, condition)
        outputs.append(_alive_with(chosen, branch))
    outputs.append(_alive_with(x, branches[len(conditions)]))
    return merge(outputs)


def _alive_with(x: tf.Tensor, branch: Branch) -> tf.Tensor:
    """`branch(x)`, of which nothing runs where `x` is dead: not even reading its weights.

    Those reads were 300 of the 1,180 operations of an evaluation of seven layers.
    """
    x = tf.identity(x)  # a control dependency is on an operation, and a Switch itself always runs
    with tf.control_dependencies([x]):
        return branch(x)


def pick_one(tensors: Sequence[tf.Tensor],
             index: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The tensor with number `index` (int32 [], in range), and all of them again.

    Whoever uses one of them later must use it from the second result, as of `add_if`.
    """
    index.shape.assert_has_rank(0)
    picked, again = [], []
    for number, x in enumerate(tensors):
        without, chosen = switch(x, tf.equal(index, number))
        picked.append(chosen)
        again.append(merge([without, chosen]))
    return merge(picked), again


def run_if(condition: tf.Tensor, x: tf.Tensor, branch: Branch) -> tf.Tensor:
    """`branch(x)` if the bool [] `condition` holds; else nothing runs, and the result is dead."""
    return _alive_with(switch(x, condition)[1], branch)


def add_if(condition: tf.Tensor, total: tf.Tensor, term: tf.Tensor,
           branch: Branch | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """`total + branch(term)` if the bool [] `condition` holds, else `total`; and `term` again.

    Without a branch, `term` itself is added. Whoever uses `term` later must use the second result:
    its gradient then flows back through the same switch, and is added up where it is alive, with
    no zeros for the sums left out. A `term` that is dead (`run_if`) may be given where the
    condition does not hold.
    """
    total_without, total_with = switch(total, condition)
    term_without, term_with = switch(term, condition)
    added = term_with if branch is None else _alive_with(term_with, branch)
    return merge([total_without, total_with + added]), merge([term_without, term_with])
