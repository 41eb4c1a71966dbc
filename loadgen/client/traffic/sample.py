"""A value for a JSON schema: its example, its default, or the simplest valid value; always the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = 12
"""Largest depth of nested schemas, because a schema may contain itself."""
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "email": "zoe@example.com",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "bG9hZGdlbg==",
    "password": "correct-horse",
    "duration": "PT1H",
}


class SampleError(Exception):
    """A document does not describe a value, or contradicts itself."""


class Sampler:
    """Makes values for the schemas of one document."""

    def __init__(self, document: dict[str, Any], read: Callable[[str], Any]) -> None:
        """*read* returns the content of another file, whose references are relative to the document's."""
        self._document = document
        self._read = read
        self._files: dict[str, Any] = {}
        self.made_up = 0
        """Number of values derived only from a schema."""

    def resolved(self, node: Any) -> Any:
        """Return the target of *node*, if it is a reference.

        Raises:
            SampleError: the target is at another server, or does not exist.
        """
        for _ in range(DEPTH):
            if not isinstance(node, dict) or not isinstance(ref := node.get("$ref"), str):
                return node
            file, _, pointer = ref.partition("#")
            node = self._file(file, ref) if file else self._document
            for key in pointer.lstrip("/").split("/") if pointer.lstrip("/") else ():
                name = key.replace("~1", "/").replace("~0", "~")
                try:
                    node = node[int(name)] if isinstance(node, list) else node[name]
                except (KeyError, IndexError, TypeError, ValueError):
                    raise SampleError(f"{ref} refers to nothing") from None
        raise SampleError("a reference refers to itself")

    def _file(self, name: str, ref: str) -> Any:
        if "://" in name:
            raise SampleError(f"{ref} is at another server: save it beside the document")
        if name not in self._files:
            self._files[name] = self._read(name)
        return self._files[name]

    def given(self, node: dict[str, Any]) -> tuple[Any] | None:
        """Return the example of a parameter or a body as a 1-tuple; None if it has none."""
        if "example" in node:
            return (node["example"],)
        match node.get("examples"):
            case [first, *_]:
                return (first,)
            case dict() as named if named:
                first = self.resolved(next(iter(named.values())))
                if isinstance(first, dict) and "value" in first:
                    return (first["value"],)
        return None

    def value(self, schema: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - the ways, in their order
        """Return a value for *schema*."""
        schema = self.resolved(schema)
        if not isinstance(schema, dict) or depth > DEPTH:
            return None
        if (found := self.given(schema)) is not None:
            return found[0]
        for key in ("default", "const"):
            if key in schema:
                return schema[key]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        if isinstance(schema.get("allOf"), list):
            return self._all(schema, depth)
        for key in ("oneOf", "anyOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self.value(schema[key][0], depth + 1)
        self.made_up += 1
        return self._of_type(schema, depth)

    def _all(self, schema: dict[str, Any], depth: int) -> Any:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self.resolved, schema["allOf"]):
            if isinstance(part, dict):
                for key, value in part.items():
                    match merged.get(key), value:
                        case (dict() as one, dict() as other):
                            merged[key] = one | other
                        case (list() as one, list() as other):
                            merged[key] = [*one, *other]
                        case _:
                            merged[key] = value
        return self.value(merged, depth + 1)

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:  # noqa: PLR0911 - one a type
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        match kind:
            case "object":
                properties = schema.get("properties")
                return {
                    name: self.value(one, depth + 1)
                    for name, one in (properties if isinstance(properties, dict) else {}).items()
                    if not _is_read_only(self.resolved(one))
                    and (name in schema.get("required", ()) or depth < DEPTH // 2)
                }
            case "array":
                count = max(1, int(schema.get("minItems", 1)))
                return [self.value(schema.get("items", {}), depth + 1)] * (count if depth < DEPTH // 2 else 0)
            case "integer":
                return int(_number(schema, step=1))
            case "number":
                return _number(schema, step=0.5)
            case "boolean":
                return True
            case "null":
                return None
        return _text(schema)


def _is_read_only(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("readOnly") is True


def _number(schema: dict[str, Any], *, step: float) -> float:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    if isinstance(above, bool):
        low, above = (None, low) if above else (low, None)
    if isinstance(above, int | float):
        low = above + step
    value = 1.0 if not isinstance(low, int | float) else max(low, 1.0)
    for key, less in (("maximum", 0.0), ("exclusiveMaximum", step)):
        high = schema.get(key)
        if isinstance(high, int | float) and not isinstance(high, bool):
            value = min(value, high - less)
    if isinstance(of := schema.get("multipleOf"), int | float) and of > 0:
        value = max(1, round(value / of)) * of
    return value


def _text(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "text")
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        text = next(
            (one for one in ("1", "a", "A", "text", "12345", *_FORMATS.values()) if _fits(pattern, one)), text
        )
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    text = text.ljust(low if isinstance(low, int) else 0, "x")
    return text[:high] if isinstance(high, int) else text


def _fits(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False
