"""A workload as a scenario file, to read, run, change, and attach to a bug report."""

from __future__ import annotations

import json
from textwrap import indent
from typing import TYPE_CHECKING

from loadgen.core.workload import Ref

if TYPE_CHECKING:
    from loadgen.core.workload import Json, Text, Workload, WorkloadStep

NAME = "shrunk"
"""The scenario's name in its file."""

_FILE = '''"""{docstring}"""

{imports}from loadgen import User, scenario

{state}
{users}


@scenario(concurrency={concurrency}, iterations=1)
async def {name}(user: User) -> None:
    """{summary}"""
{body}
'''
_BODY = "    await {call}"
_GUARDED = """\
    try:
        await {call}
    except BaseException:
        for step in answered.values():  # what does not come shall not be waited for
            step.set()
        raise"""
_WITH_BODY = frozenset({"post", "put", "patch"})
_WITHOUT = frozenset({"get", "head", "options", "delete"})


def scenario_text(workload: Workload, docstring: str) -> str:
    """Return the text of a file with the scenario :data:`NAME` that sends the requests of *workload*."""
    waits = workload.waits()
    awaited = {seq for others in waits.values() for seq in others}
    used = {ref.seq for step in workload.steps for ref in step.refs()}
    number = {step.seq: at for at, step in enumerate(workload.steps, 1)}
    functions = []
    for at, user in enumerate(workload.users):
        lines = []
        for step in (one for one in workload.steps if one.user == user):
            mine = number[step.seq]
            lines += [f"await answered[{number[other]}].wait()" for other in waits[step.seq]]
            lines.append((f"answers[{mine}] = " if step.seq in used else "") + _call(step, number))
            lines += [f"answered[{mine}].set()"] if step.seq in awaited else []
        functions.append(f"async def user_{at}(user: User) -> None:\n" + indent("\n".join(lines), "    "))
    state = ["answers = {}  # of steps, by number\n"] if used else []
    if awaited:
        numbers = ", ".join(str(number[seq]) for seq in sorted(awaited))
        state.append(f"answered = {{step: anyio.Event() for step in [{numbers}]}}\n")
    users = [f"user_{at}" for at in range(len(functions))]
    call = f"({', '.join(users)})[user.id](user)" if len(users) > 1 else f"{users[0]}(user)"
    return _FILE.format(
        docstring=docstring,
        imports="import anyio\n\n" if awaited else "",
        state="".join(state) + "\n" if state else "",
        users="\n\n\n".join(functions),
        concurrency=len(users),
        name=NAME,
        summary=f"Send {size(workload)}.",
        body=(_GUARDED if awaited else _BODY).format(call=call),
    )


def size(workload: Workload) -> str:
    """Describe the size of *workload*."""
    requests, users = len(workload.steps), len(workload.users)
    told = f"{requests} request{'' if requests == 1 else 's'} by {users} virtual user"
    return told + ("" if users == 1 else "s")


def _call(step: WorkloadStep, number: dict[int, int]) -> str:
    """Return the expression that sends one request."""
    target = _text(step.path, number)
    if step.query:
        pieces: Text = tuple(
            piece for at, one in enumerate(step.query) for piece in (("&",) if at else ("?",)) + one
        )
        target = _text((*step.path, *pieces), number)
    arguments = [target]
    if step.json is not None:
        arguments.append(f"json={_json(step.json, number)}")
    elif step.body:
        arguments.append(f"content={step.body!r}")
    if step.headers:
        pairs = ", ".join(f"({name!r}, {_text(value, number)})" for name, value in step.headers)
        arguments.append(f"headers=[{pairs}]")
    method = step.method.lower()
    if method not in _WITH_BODY | (_WITHOUT if not _content(step) else frozenset()):
        arguments.insert(0, repr(step.method))
        method = "request"
    return f"await user.http.{method}({', '.join(arguments)})"


def _content(step: WorkloadStep) -> bool:
    return step.json is not None or bool(step.body)


def _text(text: Text, number: dict[int, int]) -> str:
    if all(isinstance(piece, str) for piece in text):
        return json.dumps("".join(map(str, text)))
    inner = "".join(
        f"{{{_ref(piece, number)}}}" if isinstance(piece, Ref) else _escaped(piece) for piece in text
    )
    return f'f"{inner}"'


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1].replace("{", "{{").replace("}", "}}")


def _ref(ref: Ref, number: dict[int, int]) -> str:
    """Return the expression for a value of an earlier answer, in single quotes, as it may be in a string."""
    keys = "".join(f"[{key!r}]" for key in ref.path)
    return f"answers[{number[ref.seq]}].json(){keys}"


def _json(content: Json, number: dict[int, int]) -> str:
    match content:
        case Ref():
            return _ref(content, number)
        case dict():
            return (
                "{"
                + ", ".join(f"{json.dumps(key)}: {_json(value, number)}" for key, value in content.items())
                + "}"
            )
        case list():
            return "[" + ", ".join(_json(value, number) for value in content) + "]"
        case str():
            return json.dumps(content, ensure_ascii=False)
        case _:
            return repr(content)
