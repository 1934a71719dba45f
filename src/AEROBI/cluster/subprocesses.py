"""Processes of this package that others of it start."""

import os
import pathlib
import socket


def child_environment() -> dict[str, str]:
    """The environment in which a child can import this package, from a mere checkout as well."""
    root = str(pathlib.Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": root + (os.pathsep + before if before else "")}


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine that nobody listens on at the moment, as "127.0.0.1:port"."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    return addresses
