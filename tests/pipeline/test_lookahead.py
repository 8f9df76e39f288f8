import threading
from collections.abc import Iterator

import cv2
import pytest
import torch
from dancedepth.pipeline.lookahead import ahead, meanwhile, side_by_side
from dancedepth.pipeline.threads import one_thread_an_operation


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


def test_work_is_done_side_by_side_and_comes_in_order() -> None:
    both = threading.Barrier(2)

    def work(item: int) -> int:
        both.wait(5)  # passes only if another item is at work
        return item * item

    with side_by_side(work, range(6), 2) as done:
        assert list(done) == [0, 1, 4, 9, 16, 25]


def test_only_so_many_items_are_taken_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for index in range(50):
            taken.append(index)
            yield index

    with side_by_side(str, items(), 3) as done:
        assert next(done) == "0"
        assert len(taken) <= 5


def test_errors_of_the_work_arrive_in_order() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise OSError("disk gone")
        return item

    with side_by_side(work, range(9), 2) as done:
        assert [next(done), next(done)] == [0, 1]
        with pytest.raises(OSError, match="disk gone"):
            next(done)


def test_work_goes_on_meanwhile_and_ends_with_its_reader() -> None:
    with meanwhile(sum, range(5)) as total:
        assert total.result() == 10
    first, taken = threading.Event(), []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            first.set()
            yield 1

    with pytest.raises(KeyboardInterrupt), meanwhile(sum, endless()):
        first.wait(5)
        raise KeyboardInterrupt
    assert taken, "and the sum of endlessly many came to an end"


def test_operations_have_their_threads_again_afterwards() -> None:
    before = torch.get_num_threads(), cv2.getNumThreads()
    with pytest.raises(ValueError, match="anything"), one_thread_an_operation() as workers:
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1) and 1 <= workers <= before[0]
        raise ValueError("anything")
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
