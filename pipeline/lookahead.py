"""Iterators that work one step ahead of their reader, in a thread of their own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """`with ahead(items) as early: for item in early`: while one item is used, the next is made.

    Errors arrive where the item would have. Leaving the block waits for the step that is under way, and ends `items`,
    with what they hold open.
    """
    source = iter(items)
    try:
        with ThreadPoolExecutor(1) as worker:
            yield _one_ahead(source, worker)
    finally:
        if isinstance(source, Generator):
            source.close()


def _one_ahead(items: Iterator[Item], worker: ThreadPoolExecutor) -> Iterator[Item]:
    waiting = worker.submit(_next, items)
    while (found := waiting.result()) is not None:
        waiting = worker.submit(_next, items)
        yield found[0]


def _next(items: Iterator[Item]) -> tuple[Item] | None:
    """A future cannot carry StopIteration."""
    try:
        return (next(items),)
    except StopIteration:
        return None
