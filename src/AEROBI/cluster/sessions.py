"""TensorFlow's server and sessions of one process of a cluster.

Two sessions: `tf.train.MonitoredTrainingSession` initialises, waits for the chief and runs the
thread that averages; a second one, on the same server, makes the steps, so that everything that
is called has a time limit, which that thread, waiting for gradients in quiet times, must not have.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator

import tensorflow.compat.v1 as tf

from AEROBI.cluster.description import PS, Cluster
from AEROBI.cluster.graph import finished_variable, generation_variable
from AEROBI.run.checkpoints import first_line, quiet_tensorflow
from AEROBI.tf_setup import session_config
from AEROBI.training.stopping import StopRequest, stop_on_signals

log = logging.getLogger(__name__)

TRY_AGAIN = 75  # exit status: nothing is wrong with the flags, start the process again
POLL_SECS = 0.02
LINGER_SECS = 3.0  # a parameter server stays, so that everybody sees the end
STOPPING_SECS = 10.0  # that the others give a chief that was told to stop as well

# What a process that died, or was started again, looks like to the others.
LOST = (tf.errors.AbortedError, tf.errors.UnavailableError, tf.errors.FailedPreconditionError,
        tf.errors.NotFoundError, tf.errors.OutOfRangeError, tf.errors.CancelledError)


class ClusterError(RuntimeError):
    """Somebody of the cluster does not answer; the message says who and what to do."""


def start_server(cluster: Cluster) -> tf.train.Server:
    """TensorFlow's server of this process, listening.

    Raises:
        ClusterError: its port is taken.
    """
    try:
        return tf.train.Server(tf.train.ClusterSpec(cluster.hosts), cluster.job, cluster.index)
    except tf.errors.OpError as error:
        raise ClusterError(f"{cluster.address(cluster.job, cluster.index)}: cannot be listened on "
                           f"({first_line(error)}); end what uses the port, or name "
                           "another one") from None


def cluster_config(cluster: Cluster, timeout_secs: float = 0.0) -> tf.ConfigProto:
    """Lets a session see the parameter servers and this process alone: others may come and go.

    Args:
        cluster: of the process.
        timeout_secs: of each call; 0: none.
    """
    config = session_config()
    config.device_filters.extend([f"/job:{PS}", f"/job:{cluster.job}/task:{cluster.index}"])
    config.operation_timeout_in_ms = int(1000 * timeout_secs)
    return config


def wait_for_ps(server: tf.train.Server, cluster: Cluster, stop: StopRequest) -> None:
    """Waits until all parameter servers answer.

    Raises:
        ClusterError: they do not in time.
        Stopped: by a signal.
    """
    with tf.Graph().as_default():
        answers = []
        for task in range(len(cluster.ps)):
            with tf.device(f"/job:{PS}/task:{task}"):
                answers.append(tf.constant(task))
    retry_until(lambda: _run_once(server, cluster, answers), cluster, stop, _no_answer(cluster))


def wait_for_chief(server: tf.train.Server, cluster: Cluster, stop: StopRequest) -> int:
    """Waits until the chief lets workers begin; returns its generation.

    Raises:
        ClusterError: it does not in time.
        Stopped: by a signal.
    """
    with tf.Graph().as_default():
        generation = generation_variable().read_value()
    return retry_until(lambda: _run_once(server, cluster, [generation]), cluster, stop,
                     f"{cluster.address('worker', 0)}, the chief, has not begun")[0]


def retry_until(attempt: Callable, cluster: Cluster, stop: StopRequest, complaint: str):
    """The result of `attempt`, tried until it fails no more or the time is over.

    Raises:
        ClusterError: `complaint`, when the time is over.
        Stopped: by a signal.
    """
    deadline = time.monotonic() + cluster.timeout_secs

    def work():
        while time.monotonic() < deadline:
            try:
                return attempt()
            except (*LOST, tf.errors.DeadlineExceededError):
                time.sleep(0.2)
        raise _silence(complaint, cluster)

    return with_deadline(work, cluster, stop, complaint)


def with_deadline(work: Callable, cluster: Cluster, stop: StopRequest, complaint: str):
    """The result of `work`, or its exception.

    In a thread: TensorFlow itself waits for a server without any limit when a session is made.

    Raises:
        ClusterError: `complaint`, when the time is over; the thread is left to itself.
        Stopped: by a signal.
    """
    results: queue.Queue = queue.Queue()
    deadline = time.monotonic() + cluster.timeout_secs

    def put() -> None:
        try:
            results.put((work(), None))
        except Exception as error:
            results.put((None, error))

    threading.Thread(target=put, daemon=True).start()
    while time.monotonic() < deadline:
        stop.raise_if_made()
        with contextlib.suppress(queue.Empty):
            result, error = results.get(timeout=0.2)
            if error is not None:
                raise error
            return result
    raise _silence(complaint, cluster)


def _no_answer(cluster: Cluster) -> str:
    return f"no answer from all of the parameter servers ({', '.join(cluster.ps)})"


def _silence(complaint: str, cluster: Cluster) -> ClusterError:
    return ClusterError(f"{complaint} for {cluster.timeout_secs:g} seconds: start it, or start it "
                        "again, by the same command; then this one")


def _run_once(server: tf.train.Server, cluster: Cluster, fetches: list) -> list:
    """Runs the fetches in a session of its own, of their graph."""
    limit = min(5.0, cluster.timeout_secs)
    with tf.Session(server.target, fetches[0].graph,
                    cluster_config(cluster, limit)) as session:
        return session.run(fetches)


def reset_servers(server: tf.train.Server, cluster: Cluster) -> None:
    """Clears the parameter servers: what a chief of before, or its workers, left there.

    Whoever waits in its queue is woken first, with an error.
    """
    with tf.Graph().as_default(), tf.device(f"/job:{PS}/task:0"):
        tokens = tf.FIFOQueue(-1, tf.int64, shapes=(), shared_name="sync_token_q")
        with contextlib.suppress(*LOST):
            _run_once(server, cluster, [tokens.close(cancel_pending_enqueues=True)])
    # A session that needs the parameter servers alone, as in `cluster_config`.
    tf.Session.reset(server.target, config=tf.ConfigProto(device_filters=[f"/job:{PS}"]))


@contextlib.contextmanager
def opened(server: tf.train.Server, cluster: Cluster, scaffold: tf.train.Scaffold,
           optimizer: tf.train.SyncReplicasOptimizer | None) -> Iterator[tf.Session]:
    """The session for steps, on the current graph, which is then complete.

    As a context it also holds the monitored session, and closes both.

    Raises:
        ClusterError: a parameter server hangs while they are opened.
    """
    hooks, graph = [], tf.get_default_graph()
    if optimizer is not None:
        # Without first tokens: nobody may push twice before everybody has pushed once.
        hooks.append(optimizer.make_session_run_hook(cluster.is_chief, num_tokens=0))

    def open_both() -> tuple[tf.train.MonitoredSession, tf.Session]:
        with graph.as_default():
            monitored = tf.train.MonitoredTrainingSession(
                server.target, cluster.is_chief, scaffold=scaffold, hooks=hooks,
                config=cluster_config(cluster), stop_grace_period_secs=1,
                log_step_count_steps=None, max_wait_secs=max(1, int(cluster.timeout_secs)),
                save_checkpoint_secs=None, save_checkpoint_steps=None, save_summaries_steps=None,
                save_summaries_secs=None)
            session = tf.Session(
                server.target, config=cluster_config(cluster, cluster.timeout_secs))
            session.run(scaffold.ready_op)  # only a first call connects, whatever its time limit
        return monitored, session

    with quiet_threads():
        monitored, session = with_deadline(open_both, cluster, StopRequest(), _no_answer(cluster))
        try:
            with session.as_default():
                yield session
        except tf.errors.OutOfRangeError as closed:
            # `reset_servers` closed the queue. A monitored session takes this error for the end
            # of data.
            raise tf.errors.AbortedError(None, None, "the chief has started again") from closed
        finally:
            _close(session, monitored)


def _close(session: tf.Session, monitored: tf.train.MonitoredSession) -> None:
    """Closes both, or gives up: where a parameter server hangs that takes for ever.

    What fails in it was told already, or no longer matters. A thread that is stuck keeps the
    sessions: nothing else may close them at the process's end.
    """
    def close() -> None:
        for opened_session in (session, monitored):
            with contextlib.suppress(tf.errors.OpError):
                opened_session.close()

    thread = threading.Thread(target=close, daemon=True)
    thread.start()
    thread.join(STOPPING_SECS)


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """No word of the averaging thread, nor of TensorFlow about it: its owner meets the same.

    The thread may outlive its session by a moment, so the hook stays.
    """
    if threading.excepthook is not _hook:
        threading.excepthook = _hook
    with quiet_tensorflow(logging.CRITICAL):
        yield


def _hook(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread else ""
    if not name.startswith("QueueRunnerThread"):
        threading.__excepthook__(arguments)


def serve(cluster: Cluster) -> int:
    """A parameter server, until the chief has finished; returns the exit status.

    Raises:
        ClusterError: its port is taken.
    """
    server = start_server(cluster)
    log.info("%s: listening", cluster.address(cluster.job, cluster.index))
    alone = tf.ConfigProto(device_filters=[f"/job:{PS}/task:{cluster.index}"])
    with stop_on_signals() as stop, tf.Graph().as_default():
        finished = finished_variable(cluster.index)
        there, value = finished.is_initialized(), finished.read_value()
        session, stopped_at = tf.Session(server.target, config=alone), None
        while True:
            if session.run(there) and _value(session, value):
                time.sleep(LINGER_SECS)
                return 0
            if stop.signal_number is not None:
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > STOPPING_SECS:
                    return 128 + stop.signal_number
            time.sleep(0.25)


def _value(session: tf.Session, value: tf.Tensor) -> int:
    try:
        return session.run(value)
    except LOST:  # cleared in between
        return 0
