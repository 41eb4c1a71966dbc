"""A file of requests for a load generator in another place, exactly as read from the original file.

Format ``loadgen-calls/1``: ``{"format": ..., "calls": [...]}``, each call with the fields of
:class:`~loadgen.client.traffic.call.Call`; texts are the wire's bytes as latin-1, the body is base64.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any

from loadgen.client.traffic.call import Bound, Call, Jar, Redirects

FORMAT = "loadgen-calls/1"


def dump(calls: list[Call]) -> bytes:
    """Return a file of *calls*."""
    every = [asdict(call) | {"body": base64.b64encode(call.body).decode()} for call in calls]
    return json.dumps({"format": FORMAT, "calls": every}).encode()


def load(content: dict[str, Any]) -> list[Call]:
    """Return the requests of a parsed file."""
    return [_call(one) for one in content["calls"]]


def _call(fields: dict[str, Any]) -> Call:
    redirects, jar = fields["redirects"], fields["jar"]
    if redirects is not None:
        redirects = Redirects(
            **(redirects | {"keep": tuple(redirects["keep"]), "headers": _pairs(redirects["headers"])})
        )
    if jar is not None:
        jar = Jar(**(jar | {"reads": tuple(jar["reads"])}))
    return Call(
        **(
            fields
            | {
                "headers": _pairs(fields["headers"]),
                "body": base64.b64decode(fields["body"]),
                "redirects": redirects,
                "jar": jar,
                "bound": tuple(Bound(**(one | {"path": tuple(one["path"])})) for one in fields["bound"]),
            }
        )
    )


def _pairs(pairs: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in pairs)
