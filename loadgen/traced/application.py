"""Serve an application that is given by its name: ``python -m loadgen.traced.application MODULE:NAME``.

It runs traced, as the main script. Flask serves a Flask application, as ``flask run`` does. Any other WSGI
callable, and an ASGI application on its event loop, is served by wsgiref, with one thread for each
connection.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from loadgen.traced import wsgi
from loadgen.traced.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

WSGI = (None, None)
"""Stand-ins for the arguments of a WSGI callable."""
ASGI = (None, None, None)


def main(name: str) -> None:
    """Import the application *name* and serve it.

    Raises:
        SystemExit: it is not an application.
    """
    uses_flask = importlib.util.find_spec("flask") is not None
    if uses_flask:  # what ``flask run`` does before it imports the application
        os.environ["FLASK_RUN_FROM_CLI"] = "true"
        sys.argv = ["flask", "--app", name, "run"]
        if importlib.util.find_spec("dotenv") is not None:
            importlib.import_module("flask.cli").load_dotenv()
    application = found(name)
    flask = sys.modules.get("flask")
    if flask is not None and isinstance(application, flask.Flask):
        group = importlib.import_module("flask.cli").FlaskGroup(create_app=lambda: application)
        group.main(["run", "--no-reload", "--no-debugger"], prog_name="flask")
    elif is_asgi(application):
        from loadgen.traced import asgi  # noqa: PLC0415 - it imports asyncio, which others do without

        asgi.serve(application)
    else:
        wsgi.serve(application)


def found(name: str) -> Callable[..., Any]:
    """Return the WSGI or ASGI application *name*: a variable, a factory, or a factory's call with literals.

    Raises:
        SystemExit: there is none.
    """
    module, _, rest = name.partition(":")
    expression = ast.parse(rest.strip(), mode="eval").body
    called = isinstance(expression, ast.Call)
    attribute = expression.func if isinstance(expression, ast.Call) else expression
    assert isinstance(attribute, ast.Name)
    try:
        one = getattr(importlib.import_module(module), attribute.id)
    except AttributeError:
        if hasattr(sys.modules.get(module), attribute.id):
            raise  # from inside the module
        refuse(f"the module {module} has no {attribute.id}", "give another name")
    if isinstance(expression, ast.Call):
        arguments = [ast.literal_eval(value) for value in expression.args]
        named = {word.arg: ast.literal_eval(word.value) for word in expression.keywords if word.arg}
        one = one(*arguments, **named)
    elif inspect.isroutine(one) and not inspect.iscoroutinefunction(one) and _takes(one, ()):
        one = one()  # a WSGI application needs two arguments, so this is a factory
        called = True
    _check(one, f"what {name} returns" if called else name)
    return one  # type: ignore[no-any-return]


def _check(one: Any, name: str) -> None:
    """Refuse *one*, called *name*, if it is neither a WSGI nor an ASGI application."""
    if isinstance(one, type) or not callable(one):
        refuse(f"{name} ({_kind(one)}) is not an application", "give a WSGI callable")
    if is_asgi(one):
        return
    if not _takes(one, WSGI) or _needs_settings(one):
        refuse(
            f"{name} ({_kind(one)}) is neither a WSGI application nor a factory without arguments: "
            f"it takes {inspect.signature(one)}",
            "give a factory its arguments: 'module:create_app(\"test\")'; the second parameter of an "
            "application is called start_response",
        )


def is_asgi(one: Callable[..., Any]) -> bool:
    """Whether *one* is an ASGI application: a coroutine function, or an object that takes three arguments."""
    if inspect.isroutine(one):
        return inspect.iscoroutinefunction(one)
    return inspect.iscoroutinefunction(type(one).__call__) or (not _takes(one, WSGI) and _takes(one, ASGI))


def _needs_settings(one: Callable[..., Any]) -> bool:
    """Whether *one*, which takes two arguments, is a factory: a function whose second is not a callback."""
    if not inspect.isroutine(one):
        return False
    try:
        parameters = [*inspect.signature(one).parameters.values()]
    except ValueError:  # written in C: it does not say
        return False
    second = next((one.name for one in parameters[1:2] if one.kind is not one.VAR_POSITIONAL), "")
    return len(second.strip("_")) > len("sr") and not re.search(r"start|respon|callback", second.lower())


def _takes(one: Callable[..., Any], arguments: tuple[object, ...]) -> bool:
    """Whether *one* can be called with so many arguments."""
    try:
        inspect.signature(one).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # written in C: it does not say
        return True
    return True


def _kind(one: object) -> str:
    """Name the kind of *one* by its framework."""
    if isinstance(one, type):
        return f"the class {one.__name__}"
    kind = type(one)
    if inspect.isroutine(one) or kind.__module__ == "builtins":
        return f"a {kind.__name__}"
    return f"{kind.__module__.partition('.')[0]}'s {kind.__name__}"


if __name__ == "__main__":
    main(sys.argv[1])
