"""Hazards: endpoints with one source of nondeterminism each, to see what a tool makes of it.

Off by default: they start processes and threads, write files, and connect to local ports that a request
names. ``python -m server_app --hazards`` serves all of them, ``--hazards NAME,NAME`` these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, jsonify

from server_app.hazards import files, network, process, threads, values  # noqa: F401 - they register theirs
from server_app.hazards.registry import HAZARDS, Hazard, Serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask.typing import ResponseReturnValue

__all__ = ["HAZARDS", "Hazard", "blueprint"]


def blueprint(names: Iterable[str] = ()) -> Blueprint:
    """Return the hazards called *names*, by default all, as a blueprint; what they need is started.

    Raises:
        KeyError: there is no hazard of that name.
    """
    served = [HAZARDS[name] for name in names] or list(HAZARDS.values())
    hazards = Blueprint("hazards", __name__, url_prefix="/hazards")

    @hazards.get("")
    def index() -> ResponseReturnValue:
        return [{"name": hazard.name, "shows": hazard.shows} for hazard in served]

    for hazard in served:
        if hazard.start is not None:
            hazard.start()
        hazards.add_url_rule(f"/{hazard.name}", hazard.name, _view(hazard.serve))
    return hazards


def _view(serve: Serve) -> Callable[[], ResponseReturnValue]:
    def view() -> ResponseReturnValue:
        answer = serve()
        return answer if hasattr(answer, "headers") else jsonify(answer)  # type: ignore[return-value]

    return view
