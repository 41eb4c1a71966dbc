"""Hashes of classes by their names: what exists already, and what is a key, is found as before."""

from __future__ import annotations

import subprocess
import sys
import textwrap

CHECKED = """
    import abc, collections, enum, gc, sys, weakref

    class Key: pass
    class Inside: pass
    class Weak(abc.ABC): pass
    class Old: pass
    class OldMeta(type): pass
    known = {int: "int", Key: "key", (1, (Inside,)): "inside", abc.ABC: "abc"}
    weak = weakref.WeakKeyDictionary({Weak: "weak"})
    frozen = {frozenset({Old, Key}): "frozen"}
    before = {hash(one) for one in (int, Key, Inside, Weak)}

    from loadgen.traced.gaps.hashes import number_classes
    number_classes()

    assert (known[int], known[Key], known[1, (Inside,)], known[abc.ABC]) == ("int", "key", "inside", "abc")
    assert weak[Weak] == "weak" and frozen[frozenset({Old, Key})] == "frozen"
    assert isinstance({}, collections.abc.Mapping) and not isinstance(3, collections.abc.Mapping)

    class Plain: frame = sys._getframe(1).f_code.co_name
    class Meta(type): pass
    class Below(Meta): pass
    class WithMeta(metaclass=Below): pass
    class WithOld(metaclass=OldMeta): pass
    class Abstract(abc.ABC): pass
    class Choice(enum.Enum): ONE = 1
    class Own(type):
        def __hash__(self): return 7
    class OwnHash(metaclass=Own): pass

    assert Plain.frame == "<module>"
    for one in (Plain, Meta, Below, WithMeta, WithOld, Abstract, Choice, collections.Counter):
        assert hash(one) == hash((one.__module__, one.__qualname__)), one
    assert hash(OwnHash) == 7 and Plain.__hash__ is object.__hash__
    for kind in (Plain, Abstract):
        there, hashed = {kind: 1}, hash(kind)
        kind.__qualname__ = "Other"
        assert there[kind] == 1 and hash(kind) == hashed
    for make in (type, Meta, abc.ABCMeta):  # at addresses that were used before
        for number in range(500):
            assert hash(make(f"T{number}", (), {"__module__": "m"})) == hash(("m", f"T{number}"))
        gc.collect()
    print("fine")
"""


def test_classes() -> None:
    """In a process of its own, because it is for all of the process."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHECKED)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")
