"""A model in a file: a mistake in it is reported with its line, and never taken for a broken service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.client.model_file import load
from loadgen.core.exchange import Request, Response
from loadgen.core.history import operations
from loadgen.core.model import Modelled
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from loadgen.core.transcript import Event

MODEL = """
initial = ()

def key(request):
    return request.form.get("queue") or request.query.get("queue")

def step(queue, request, answer):
    if request.method == "POST":
        return (*queue, request.form["value"])
    if answer is not None:
        assert (answer.status, answer.json["value"]) == (200, queue[0] if queue else None)
        assert answer.headers["content-type"] == "application/json"
    return queue[1:]
"""
JSON = (("Content-Type", "application/json"),)


def written(folder: Path, text: str) -> str:
    file = folder / "model.py"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_model_sees_requests_and_answers(tmp_path: Path) -> None:
    """Method, path, query, form, JSON, status and headers: an item that two clients got is found."""
    model = Modelled(load(written(tmp_path, MODEL)))
    put = Request(1, 0, "POST", "/", (), b"queue=a&value=7")
    take = [Request(seq, 0, "GET", "/?queue=a", ()) for seq in (2, 3)]
    events: list[Event] = [put, Response(1, 200, JSON), *take]
    once = [*events, Response(2, 200, JSON, b'{"value": "7"}'), Response(3, 200, JSON, b'{"value": null}')]
    twice = [*events, Response(2, 200, JSON, b'{"value": "7"}'), Response(3, 200, JSON, b'{"value": "7"}')]
    assert model.check(operations(once)).holds
    found = model.check(operations(twice))
    assert (found.holds, found.seqs, found.invariant) == (False, (2, 3), "model model.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("initial = 0", "has no step"),
        ("def step(a, b, c): return a", "has no initial"),
        ("initial = 1 +", "line 1"),
        ("initial = {}\ndef step(a, b, c): return a", "initial is a dict, which is not hashable"),
        ("initial = 0\ndef step(a, b, c):\n    return [a]", "is a list, which is not hashable"),
        ("initial = 0\ndef step(a, b, c):\n    return a.nosuch", "line 3: AttributeError"),
        ("initial = 0\nkey = lambda one: one.nosuch\ndef step(a, b, c):\n    return a", "line 2: Attribute"),
    ],
)
def test_a_mistake_is_the_models(tmp_path: Path, text: str, says: str) -> None:
    """What is wrong with a model is told with its place, and is no verdict."""
    events: list[Event] = [Request(1, 0, "GET", "/", ()), Response(1, 200, ())]
    with pytest.raises(UsageError, match=says):
        Modelled(load(written(tmp_path, text))).check(operations(events))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """It names the file."""
    with pytest.raises(UsageError, match=r"model file .*nosuch\.py cannot be read"):
        load(str(tmp_path / "nosuch.py"))
