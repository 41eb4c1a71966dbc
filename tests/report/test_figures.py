"""Figures: the diagrams account for all answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadgen.report.figures import histogram, percentiles, rate
from loadgen.report.tables import SessionAnswers, differ_from, excerpt

LATENCIES = st.lists(st.integers(0, 10**8), max_size=60)


@given(LATENCIES, LATENCIES)
def test_histogram_counts_every_answer(one: list[int], other: list[int]) -> None:
    """Each bucket list adds up to its side, and the edges grow."""
    found = histogram([one, other])
    assert [sum(counts) for counts in found["counts"]] == [len(one), len(other)]
    assert found["edges"] == sorted(found["edges"])
    assert all(len(counts) == max(0, len(found["edges"]) - 1) for counts in found["counts"])


@given(LATENCIES)
def test_percentiles_are_answers_in_order(latencies: list[int]) -> None:
    """Nearest rank: each is a latency that was seen, and they do not fall."""
    found = percentiles(latencies)
    if not latencies:
        assert found == {}
        return
    ranked = [found[name] for name in ("min", "p50", "p75", "p90", "p95", "p99", "p99.9", "max")]
    assert ranked == sorted(ranked)
    assert set(ranked) <= {round(value / 1000, 3) for value in latencies}


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_rate_adds_up(ends: list[int]) -> None:
    """Rates times their width are all answers, in some fifty points at most twice."""
    found = rate([SessionAnswers(sent=[0] * len(ends), done=ends, status=[200] * len(ends))])
    total = sum(value * found["width"] for value in found["rates"][0] if value) if found["at"] else len(ends)
    assert abs(total - len(ends)) < 0.01 * len(ends) + 0.5
    assert len(found["at"]) <= 110


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_first_difference_is_found(same: bytes, one: bytes, other: bytes) -> None:
    """Halving finds what comparing byte by byte finds."""
    left, right = same + one, same + other
    pairs = zip(left, right, strict=False)
    want = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
    assert differ_from(left, right) == want


@given(st.text(max_size=60), st.integers(0, 80), st.integers(1, 30))
def test_excerpt_is_text_wherever_it_is_cut(text: str, start: int, limit: int) -> None:
    """A character cut in two is left out, and nothing else."""
    body = text.encode()
    found = excerpt(body, start, limit)
    if isinstance(found, str):
        assert found == text
    else:
        assert found["text"] in text
        assert len(body[start : start + limit]) - found["shown"] <= 6
