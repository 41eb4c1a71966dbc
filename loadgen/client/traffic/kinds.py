"""Recognises files of other tools, and explains how to convert their traffic."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loadgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/traffic.md"
_HAR = "Record its traffic as a HAR file, or through loadgen's gateway, while it runs against your server"
_TEXTS = (
    ("a k6 script", r"""(?:from|require\()\s*['"]k6(?:/\w+)*['"]""", _HAR),
    (
        "a Locust file",
        r"^\s*(?:from|import)\s+locust\b",
        "Its tasks become scenarios, method by method: self.client.get(...) is await user.http.get(...)",
    ),
    (
        "a file of scenarios",
        r"^\s*(?:from\s+loadgen\s+import|import\s+loadgen)\b",
        "Give it with --scenario in place of --from",
    ),
    ("a Playwright or Puppeteer script", r"""['"](?:@playwright/test|playwright|puppeteer)['"]""", _HAR),
    ("a JMeter test plan", r"<jmeterTestPlan\b", _HAR),
    ("a Gatling simulation", r"io\.gatling\b", _HAR),
    ("a Burp Suite export", r"<items[^>]*burpVersion=", _HAR),
    ("an Artillery script", r"(?s)\A(?=.*^config:)(?=.*^scenarios:)", _HAR),
    (
        "an Insomnia collection",
        r"^(?:_type:\s*export|type:\s*[\"']?\w+\.insomnia\.rest/)",
        "Export it as HAR",
    ),
    ("a Bruno request", r"\A\s*meta\s*\{\s*\n\s*name:", "Export its collection for Postman"),
    (
        "a file of a REST client (.http), or of Vegeta",
        r"^(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\s+(?:https?://|\{\{)\S+.*$",
        "Copy its requests as curl commands: the editor's menu has that",
    ),
    ("JavaScript with fetch()", r"^\s*(?:await\s+)?fetch\(\s*['\"]", "Copy the requests as cURL (bash)"),
    ("a PowerShell script", r"^\s*(?:\$\w+\s*=|Invoke-(?:WebRequest|RestMethod)\b)", "Copy as cURL (bash)"),
    ("an HTML page", r"\A\s*<(?:!doctype html|html)\b", "Save the traffic as HAR, and not the page"),
    ("a log of a web server", r'\A\S+ \S+ \S+ \[[^\]]+\] "[A-Z]+ ', "Write its requests as curl commands"),
)
"""Patterns of text files, with the kind of file and how to convert its traffic."""
_CURL = re.compile(r"^\s*(?:\$\s+)?(?:\S*/)?curl\s", re.MULTILINE)


def refuse_text(file: Path, text: str) -> None:
    """Refuse the files of other tools.

    Raises:
        UsageError: *text* is of a known kind that cannot be sent.
    """
    if _CURL.search(text):
        return
    for name, pattern, advice in _TEXTS:
        if re.search(pattern, text, re.MULTILINE | re.IGNORECASE):
            raise UsageError(f"{file} is {name}, which loadgen cannot send", advice=f"{advice}: see {PAGE}.")


def refuse_json(file: Path, content: Any) -> UsageError:
    """Return the error for an unsupported JSON file, with its kind if known."""
    match content:
        case {"_type": "export", "__export_format": _} | {"resources": [{"_type": str()}, *_]}:
            name, advice = "an Insomnia collection", "Export it as HAR: Export, then HAR"
        case {"item": _, "info": _} | {"requests": [*_], "folders": [*_], "id": str()}:
            name, advice = "a Postman collection of format 1", "Export it as Collection v2.1"
        case {"values": [*_], "_postman_variable_scope": _}:
            name, advice = "a Postman environment", "Give the collection; its variables hold the values"
        case {"folders": [*_], "requests": [*_]}:
            name, advice = "a Hoppscotch collection", "Export it as a Postman or OpenAPI file"
        case {"config": {}, "scenarios": [*_]}:
            name, advice = "an Artillery script", _HAR
        case {"log": {}}:
            name, advice = "a HAR file without log.entries", "Export it again"
        case _:
            return UsageError(
                f"{file} is not a HAR file (it has no log.entries), a Postman collection or an OpenAPI "
                "document",
                advice="A HAR file is exported by the network panel of a browser's developer tools, or by "
                f"loadgen export --har: see {PAGE}.",
            )
    return UsageError(f"{file} is {name}, which loadgen cannot send", advice=f"{advice}: see {PAGE}.")
