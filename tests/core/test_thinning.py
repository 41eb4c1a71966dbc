"""What thinning proposes: the runs that are kept reach all that every run reaches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.core.thinning import KINDS, thin

FEATURES = st.frozensets(st.tuples(st.sampled_from(KINDS), st.integers(0, 9)), max_size=8)
RUNS = st.dictionaries(st.text("abc", min_size=1, max_size=2), st.dictionaries(st.integers(0, 6), FEATURES))


@pytest.mark.slow
@given(RUNS)
def test_nothing_is_lost(runs: dict[str, dict[int, frozenset[tuple[str, int]]]]) -> None:
    """Without the runs and requests that may be removed, everything is still reached."""
    result = thin(runs)
    every = {one for requests in runs.values() for found in requests.values() for one in found}
    kept = {
        one
        for run in result.runs
        if run.kept
        for seq, found in runs[run.name].items()
        if seq not in run.spare
        for one in found
    }
    assert kept == every
    assert sum(sum(run.adds.values()) for run in result.runs) == len(every)
    assert {run.name for run in result.runs} == {*runs}


@given(RUNS)
def test_each_run_that_is_kept_adds_something(runs: dict[str, dict[int, frozenset[tuple[str, int]]]]) -> None:
    """A run is kept if, and only if, it adds something to those before it."""
    for run in thin(runs).runs:
        assert run.kept == any(run.adds.values())


def test_a_copy_adds_nothing() -> None:
    """Of two runs that reach the same, one is kept; so with requests, and the start needs no request."""
    same = {0: frozenset({("line", 1)}), 1: frozenset({("line", 1)}), 2: frozenset({("route", "GET /")})}
    first, second = thin({"a": same, "b": same}, {"c": "it diverged"}).runs
    assert (first.kept, second.kept) == (True, False)
    assert first.spare == (1,)
    assert "may be removed" in second.proposal
