"""Functions that draw: recorded as plain values, and made again from those in a replay."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.traced.gaps.randomness import drawing

if TYPE_CHECKING:
    from collections.abc import Callable


class System:
    """The engine's: calls are recorded, or come from the tape."""

    def __init__(self, tape: list[Any] | None = None) -> None:
        self.retrace_mode = "record" if tape is None else "replay"
        self.where = "internal"
        self.gate = SimpleNamespace(get=lambda: self.where)
        self.tape: list[Any] = [] if tape is None else tape
        self.asked: list[Any] = []

    def patch_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*told: Any) -> Any:
            self.asked.append((f"{function.__module__}.{function.__qualname__}", *told))
            if self.retrace_mode == "record":
                self.tape.append(function(*told))
                return self.tape[-1]
            return self.tape.pop(0)

        return call

    def disable_for(self, function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            self.where, before = "disabled", self.where
            try:
                return function(*given)
            finally:
                self.where = before

        return call


class Key:
    """What is drawn: only its number can be written."""

    def __init__(self, number: int) -> None:
        self.number = number


class Curve:
    """An argument without values."""


class Padding:
    """An argument with values."""

    def __init__(self) -> None:
        self.inner = Curve()
        self.length = 20


COUNT = iter(range(1000))


def generate(*given: Any, **named: Any) -> Key:
    """Draw a key."""
    del given, named
    return Key(next(COUNT))


HOW: dict[str, Any] = {"pack": lambda key: key.number, "unpack": lambda number, *_: Key(number)}


def test_a_replay_makes_the_recorded_object() -> None:
    """While recording, the application gets what the library returned; in a replay, one of the same value."""
    recording = System()
    keys = [drawing(generate, recording, "library.generate", **HOW)() for _ in range(2)]
    replay = System(list(recording.tape))
    again = drawing(generate, replay, "library.generate", **HOW)
    assert [again().number, again().number] == [one.number for one in keys] == recording.tape
    assert (type(keys[0]), replay.tape) == (Key, [])


def test_the_question_is_on_the_tape() -> None:
    """Plain values as they are, other arguments by what they consist of; never by their address."""
    system = System()
    draw = drawing(generate, system, "library.kind.generate", **HOW)
    draw(b"data", 5, bytearray(b"x"), Curve(), Padding(), [1, Curve()], size=2048, curve=Curve())
    assert system.asked == [
        (
            "library.kind.generate", b"data", 5, b"x", "Curve()", "Padding(Curve(), 20)", "list(1, Curve())",
            "size=2048", "curve=Curve()",
        )
    ]  # fmt: skip


def test_what_contains_itself_has_a_description() -> None:
    """It is cut off somewhere."""
    system, itself = System(), Padding()
    itself.inner = itself  # type: ignore[assignment]
    drawing(generate, system, "library.generate", **HOW)(itself)
    assert "Padding(Padding(" in str(system.asked)


def test_what_does_not_draw_is_not_recorded() -> None:
    """Nor is what runs outside the trace, as libraries do when they are imported."""
    system = System()
    draw = drawing(generate, system, "library.sign", draws=lambda how: how != "fixed", **HOW)
    assert draw("fixed").number >= 0
    system.where = "disabled"
    assert draw("random").number >= 0
    assert (system.asked, system.tape) == ([], [])


def test_an_error_is_the_applications() -> None:
    """It is recorded by the engine, and nothing of the call remains."""

    def refuse(size: int) -> Key:
        raise ValueError(f"{size} is too small")

    draw = drawing(refuse, System(), **HOW)
    for _ in range(2):
        with pytest.raises(ValueError, match="12 is too small"):
            draw(12)
    assert (draw.__name__, draw.__module__) == ("refuse", __name__)
