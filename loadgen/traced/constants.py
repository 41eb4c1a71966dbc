"""Constants of code objects, in the same order wherever the code came from."""

from __future__ import annotations

from types import CodeType


def ordered(code: CodeType) -> CodeType:
    """Return *code* with its constant sets in an order that depends on their elements alone.

    A set literal is a ``frozenset`` among the constants of the compiled code. Elements whose hashes collide
    are in the order in which they were added: that of the source where the module was compiled, that of the
    file where its bytecode was read. So a server that compiled a module iterates in another order than the
    next one, which finds the bytecode of the first.
    """
    changed: dict[int, object] = {}
    for at, one in enumerate(code.co_consts):
        if isinstance(one, CodeType):
            if (new := ordered(one)) is not one:
                changed[at] = new
        elif isinstance(one, frozenset) and len(one) > 1:
            changed[at] = frozenset(sorted(one, key=_by_kind_and_value))
    if not changed:
        return code
    return code.replace(co_consts=tuple(changed.get(at, one) for at, one in enumerate(code.co_consts)))


def _by_kind_and_value(element: object) -> tuple[str, str]:
    return type(element).__name__, repr(element)
