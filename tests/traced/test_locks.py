"""Names of locks: by the function that creates one, and by the function that takes it."""

from __future__ import annotations

import _thread
import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.traced.locks import NUMBERED, Names, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def names() -> Iterator[Names]:
    """Names of the locks that this process creates meanwhile."""
    before = {
        (module, name): getattr(module, name)
        for module in (_thread, threading)
        for name in ("allocate_lock", "allocate", "Lock", "_allocate_lock", "_CRLock")
        if hasattr(module, name)
    }
    names = Names(lambda: True, threading.get_ident)
    names.install()
    try:
        yield names
    finally:
        for (module, name), function in before.items():
            setattr(module, name, function)


def locks() -> list[Any]:
    return [threading.Lock(), threading.RLock()]


def use(names: Names, lock: Any) -> str:
    def acquire() -> str:
        return names.step(lock)

    return acquire()


def test_a_lock_has_the_names_of_its_creator_and_its_user(names: Names) -> None:
    """One function may create several, which others use."""
    steps = [use(names, lock) for lock in locks()]
    assert steps == ["locks 1|use", "locks 2|use"]
    assert parts(steps[0]) == ("locks 1", "use")


def test_queues_and_conditions_only_pass_a_lock_on(names: Names) -> None:
    """The lock of a queue is of whoever created the queue, and of whoever uses it."""
    namespace: dict[str, Any] = {}
    exec(compile("def put(acquire): return acquire()", queue.__file__, "exec"), namespace)

    def pool() -> queue.Queue[int]:
        return queue.Queue()

    def give(numbers: queue.Queue[int]) -> Any:
        return namespace["put"](lambda: names.step(numbers.mutex))

    where = "test_queues_and_conditions_only_pass_a_lock_on.<locals>"
    assert give(pool()) == f"{where}.pool 1|{where}.give"


def test_there_are_only_so_many_names(names: Names) -> None:
    """The tape keeps each name: they do not grow with the traffic."""
    steps = {use(names, lock) for _ in range(NUMBERED) for lock in locks()}
    assert len(steps) == NUMBERED


def test_the_end_of_a_thread_begins_its_numbers_anew() -> None:
    """The numbers of a request do not depend on those before."""
    names = Names(lambda: True, lambda: 7)

    def created() -> str:
        return parts(names.step(names.create(_thread.allocate_lock)))[0].rpartition(" ")[2]

    assert [created(), created()] == ["1", "2"]
    names.ended(7)
    assert created() == "1"


def test_what_is_not_traced_has_no_number() -> None:
    """The live server creates locks, in any order."""
    names = Names(lambda: False, lambda: 0)
    lock = names.create(_thread.allocate_lock)
    assert names.step(lock).partition("|")[0] == "test_what_is_not_traced_has_no_number"
    assert names.step(_thread.allocate_lock()).startswith("|")


@pytest.mark.parametrize("make", [_thread.allocate_lock, _thread.RLock])
def test_a_lock_of_c_code_does_not_inherit_a_name(make: Callable[[], Any]) -> None:
    """One that nobody saw is made where a named one was, as the lock that a thread is joined by often is."""
    names = Names(lambda: True, lambda: 1)
    lock = names.create(make)
    assert names.step(lock).startswith("test_a_lock_of_c_code")
    address = id(lock)
    del lock
    others = [make() for _ in range(1000)]
    again = next((one for one in others if id(one) == address), others[0])
    assert names.step(again).startswith("|")
    assert not names._created
