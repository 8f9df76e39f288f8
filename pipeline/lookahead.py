"""Iterators that work ahead of their reader, in threads of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


@contextmanager
def ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """`with ahead(items) as early: for item in early`: while one item is used, the next is made.

    Errors arrive where the item would have. Leaving the block waits for the step that is under way, and ends `items`,
    with what they hold open.
    """
    with _closing(items) as source, ThreadPoolExecutor(1) as worker:
        yield _one_ahead(source, worker)


@contextmanager
def side_by_side(work: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Iterator[Made]]:
    """`with side_by_side(work, items, 2) as done: for one in done`: what `work` makes of each, in the items' order.

    So many are at work at once; one more has been taken from `items`, which the reader's thread does. Errors and
    leaving are as with `ahead`.
    """
    with _closing(items) as source, ThreadPoolExecutor(workers) as crew:
        yield _in_order(work, source, crew, workers)


@contextmanager
def meanwhile(work: Callable[[Iterable[Item]], Made], items: Iterable[Item]) -> Iterator[Future[Made]]:
    """`with meanwhile(work, items) as found: ...; found.result()`: `work(items)` in a thread, until leaving."""
    leaving = Event()

    def until_then() -> Iterator[Item]:
        for item in items:
            if leaving.is_set():
                return
            yield item

    with ThreadPoolExecutor(1) as worker:
        try:
            yield worker.submit(work, until_then())
        finally:
            leaving.set()


@contextmanager
def _closing(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    source = iter(items)
    try:
        yield source
    finally:
        if isinstance(source, Generator):
            source.close()


def _in_order(
    work: Callable[[Item], Made], items: Iterator[Item], crew: ThreadPoolExecutor, workers: int
) -> Iterator[Made]:
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(crew.submit(work, item))
        if len(waiting) > workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


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
