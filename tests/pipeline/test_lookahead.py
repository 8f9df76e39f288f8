import threading
from collections.abc import Iterator

import pytest
from dancedepth.pipeline.lookahead import ahead


def test_items_arrive_in_order_and_the_next_is_made_meanwhile() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for index in range(3):
            made[index].set()
            yield index

    with ahead(items()) as early:
        seen = []
        for item in early:
            if item < 2:
                assert made[item + 1].wait(5), "the next one is on its way while this one is used"
            seen.append(item)
    assert seen == [0, 1, 2]


def test_errors_arrive_where_the_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("disk gone")

    with ahead(items()) as early:
        assert next(early) == 1
        with pytest.raises(OSError, match="disk gone"):
            next(early)


def test_nothing_is_made_after_leaving() -> None:
    count = 0

    def items() -> Iterator[int]:
        nonlocal count
        while True:
            count += 1
            yield count

    with ahead(items()) as early:
        next(early)
    assert count <= 2


def test_one_may_rest_on_another() -> None:
    with ahead(range(20)) as numbers, ahead(n * n for n in numbers) as squares:
        assert list(squares) == [n * n for n in range(20)]


def test_leaving_closes_what_the_items_hold_open() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            closed.append("items")

    with pytest.raises(ValueError, match="reader"), ahead(items()) as early:
        next(early)
        raise ValueError("the reader fails")
    assert closed == ["items"]
