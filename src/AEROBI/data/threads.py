"""A function of many items, in threads that work a little ahead of whoever uses the results."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int,
             ahead: int) -> Iterator[Result]:
    """`function` of every item, in order, in threads.

    At most `ahead` results are there, or being made, beside the one that is in use. Closing it
    gives up the rest.
    """
    waiting: collections.deque[Future[Result]] = collections.deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
