"""Damage to a run folder, of every kind and to every file: never identical, never a crash, never a hang."""

from __future__ import annotations

import json
import os
import random
import shutil
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from loadgen.core.events import ignore
from loadgen.core.exchange import Request
from loadgen.core.masking import Masker, parse
from loadgen.core.spec import Load, ModeName, RunSpec, VerifySpec
from loadgen.core.transcript import Run
from loadgen.core.verdict import Judgement
from loadgen.engine import retrace
from loadgen.errors import LoadgenError, RecordingFault
from loadgen.modes import client as client_trace
from loadgen.modes import process as process_trace
from loadgen.report.evidence import gather
from loadgen.report.page import render
from loadgen.store.journal import Journal
from loadgen.store.manifest import Manifest, Result, Started, State
from loadgen.store.run_folder import RunFolder
from loadgen.store.verification import find_verification
from loadgen.verify import replay_once
from tests.modes.test_modes import CLIENT, STORY, FakeProcess, lived
from tests.store.test_run_folder import TOTALS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    Damage = Callable[[Path], object]

OTHER_VALUES: tuple[Any, ...] = (
    None, True, 10**30, float("nan"), "", "x" * 1000, "\ud800", [], {},
)  # fmt: skip


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Make a complete run of a traced client, whose replay, faked, is identical."""
    run = RunFolder.create(tmp_path / "run", "")
    run.recording.write_bytes(b'{"env": {}, "cwd": "/"}\n' + bytes(range(256)))
    run.client.write_bytes(b'{"env": {}, "cwd": "/"}\n' + bytes(range(255, -1, -1)))
    with Journal(run.transcript, run.bodies) as journal:
        journal.write(Run("run", "mixed", 1, 2, 1, "now"))
        for event, at in STORY:
            if isinstance(event, Request):
                journal.resume(event, at=at)
            else:
                journal.complete(event, at)  # type: ignore[arg-type]
        journal.end([1, 2, -2, -1], 2)
    result = Result(
        state=State.COMPLETE,
        started=Started(argv=("a", "b"), database=str(tmp_path / "none")),
        versions={"loadgen": "1", "python": "3"},
        totals=TOTALS,
        files=run.digests(),
    )
    run.save(
        Manifest(
            id="run",
            created="now",
            spec=RunSpec(load=Load(concurrency=2, iterations=1), mode=ModeName.CLIENT),
            sources={"/srv/app.py": "0" * 64},
            client_sources={"/srv/scenario.py": "1" * 64},
            result=result,
        )
    )

    @asynccontextmanager
    async def traced(*_: object) -> AsyncIterator[FakeProcess]:
        yield FakeProcess(lived(*STORY))

    for module in (client_trace, process_trace):
        monkeypatch.setattr(module, "traced", traced)
    monkeypatch.setattr(retrace, "check_versions", lambda *_, **__: None)
    assert judged(run.path) is Judgement.IDENTICAL
    return run


def explained(refused: LoadgenError) -> None:
    """Hold a refusal to saying what is wrong and what to do, with an exit code that is not success."""
    assert refused.message
    assert refused.advice
    assert refused.exit_code in {2, 3}


def judged(path: Path) -> Judgement | None:
    """Verify the run at *path*; None if it was refused, which must say what is wrong and what to do."""
    try:
        run, manifest = RunFolder.open(path)
    except LoadgenError as refused:
        explained(refused)
        return None
    spec = VerifySpec(timeout=0.2)
    verdict = anyio.run(replay_once, run, manifest, CLIENT, spec, ignore).verdict
    for reason in verdict.reasons:
        assert reason.message
        assert reason.advice
    return verdict.judgement


def test_the_recorded_answers_are_counted_where_none_is_read(
    whole: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is refused before its transcript is read has as many answers as were recorded."""

    def refuse(*_: object, **__: object) -> None:
        raise RecordingFault("another Python", advice="take that one")

    monkeypatch.setattr(retrace, "check_versions", refuse)
    run, manifest = RunFolder.open(whole.path)
    verdict = anyio.run(replay_once, run, manifest, CLIENT, VerifySpec(), ignore).verdict
    assert (verdict.judgement, verdict.compared, verdict.requests) == (
        Judgement.UNDETERMINED,
        0,
        manifest.requests,
    )


def changed_bytes(size: int, some: int) -> Iterator[tuple[str, Damage]]:
    """Yield damages to a file of *size* bytes as such: flipped, cut, too much, empty."""
    chosen = random.Random(size)
    for at in (0, size - 1, *(chosen.randrange(size) for _ in range(some))):
        bit = 1 << chosen.randrange(8)

        def flip(path: Path, at: int = at, bit: int = bit) -> None:
            content = bytearray(path.read_bytes())
            content[at] ^= bit
            path.write_bytes(content)

        yield f"bit {bit} of byte {at} flipped", flip
    for kept in (0, 1, size // 2, size - 2):
        yield f"cut after {kept} bytes", partial(os.truncate, length=kept)
    yield "twice", lambda path: path.write_bytes(path.read_bytes() * 2)
    yield "binary", lambda path: path.write_bytes(chosen.randbytes(size))
    yield "zeros", lambda path: path.write_bytes(bytes(size))


def _huge(path: Path) -> None:
    """Make a file that is larger than any memory, and takes no room."""
    path.touch()
    os.truncate(path, 1 << 40)


def in_its_place(path: Path) -> Iterator[tuple[str, Damage]]:
    """Yield what may stand where a file should."""

    def instead(make: Damage, path: Path) -> None:
        path.unlink()
        make(path)

    another = path.parent / "another"
    another.write_bytes(b"{}\n")
    for name, make in {
        "missing": lambda _: None,
        "a folder": lambda path: path.mkdir(),
        "a named pipe": os.mkfifo,
        "a link to nothing": lambda path: path.symlink_to("nothing"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to another file": lambda path: path.symlink_to(another),
        "a device without an end": lambda path: path.symlink_to("/dev/zero"),
        "a file as large as a disk": _huge,
    }.items():
        if make is not _huge or path.suffix == ".json":  # the others may be large, and are read
            yield name, partial(instead, make)


def leaves(content: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path to every value in *content*."""
    if at:
        yield at
    if isinstance(content, dict):
        for key in content:
            yield from leaves(content[key], (*at, key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from leaves(value, (*at, number))


def changed_values(content: dict[str, Any]) -> Iterator[tuple[str, Damage]]:
    """Yield a JSON file with each of its values changed, left out, or under another name."""

    def write(path: Path, at: tuple[str | int, ...], change: Callable[[Any, Any], None]) -> None:
        copy = json.loads(json.dumps(content))
        holder = copy
        for step in at[:-1]:
            holder = holder[step]
        change(holder, at[-1])
        path.write_text(json.dumps(copy))

    def put(value: Any, holder: Any, key: Any) -> None:
        holder[key] = value

    def rename(holder: Any, key: Any) -> None:
        holder[f"{key}x"] = holder.pop(key)

    for at in leaves(content):
        yield f"{at} removed", partial(write, at=at, change=lambda holder, key: holder.pop(key))
        if isinstance(at[-1], str):
            yield f"{at} renamed", partial(write, at=at, change=rename)
        for value in OTHER_VALUES if len(at) == 1 else OTHER_VALUES[:5]:
            yield f"{at} is {value!r}"[:80], partial(write, at=at, change=partial(put, value))


def tried(original: Path, name: str, damages: Iterator[tuple[str, Damage]], folder: Path) -> dict[str, Any]:
    """Return what becomes of each damage to the file *name* of the run at *original*."""
    found = {}
    for number, (what, damage) in enumerate(damages):
        copy = folder / f"{name.replace('/', '-')}-{number}"
        shutil.copytree(original, copy)
        before = (copy / name).read_bytes()
        damage(copy / name)
        if (copy / name).is_file() and (copy / name).stat().st_size == len(before):
            assert (copy / name).read_bytes() != before, what
        found[what] = judged(copy)
        shutil.rmtree(copy)
    assert found
    return found


@pytest.mark.slow
@pytest.mark.parametrize("file", ["run.json", "transcript.jsonl", "client.bin", "bodies"])
def test_damaged_bytes_are_never_identical(whole: RunFolder, tmp_path: Path, file: str) -> None:
    """Whatever happened to the bytes of a file, or to the file itself."""
    path = next(whole.bodies.iterdir()) if file == "bodies" else whole.path / file
    damages = (*changed_bytes(path.stat().st_size, 15), *in_its_place(path))
    found = tried(whole.path, str(path.relative_to(whole.path)), iter(damages), tmp_path)
    spared = {what for what, judgement in found.items() if judgement is Judgement.IDENTICAL}
    if file == "run.json":  # its last byte is a newline: flipped into another space, nothing is lost
        spared -= {what for what in spared if f"byte {path.stat().st_size - 1} " in what}
    assert not spared


@pytest.mark.slow
def test_a_manifest_with_any_other_value_is_refused(whole: RunFolder, tmp_path: Path) -> None:
    """Every value counts, at every depth, its name and its type: none is ever taken for what was recorded."""
    file = whole.path / "run.json"
    content = json.loads(file.read_text())
    taken = []
    for what, damage in changed_values(content):
        damage(file)
        if json.dumps(json.loads(file.read_text())) == json.dumps(content):
            continue  # the same value
        try:
            RunFolder.open(whole.path)
        except LoadgenError as refused:
            explained(refused)
        else:
            taken.append(what)
    assert taken == []


def test_a_manifest_that_is_no_object_of_its_kind(whole: RunFolder) -> None:
    """Other JSON, JSON that is too deep or too long, and endless numbers are refused, in a sentence."""
    file = whole.path / "run.json"
    text = file.read_text()
    for content in (
        "[]", "3", '"text"', "null", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, "1e999", text + text,
        text.replace('"seed": 1', '"seed": ' + "9" * 5000), text.replace('"seed": 1', '"seed": 1e999'),
        text.replace('"seed": 1', '"seed": 1, "seed": 2'), text.replace("{", '{"state": "failed",', 1),
    ):  # fmt: skip
        file.write_text(content)
        if judged(whole.path) is Judgement.IDENTICAL:
            assert json.loads(content) == json.loads(text)


@pytest.mark.slow
def test_a_damaged_verdict_is_never_shown_as_identical(whole: RunFolder) -> None:
    """What a report reads back is the verdict as it was reached, or none; and there is always a report."""
    file = whole.path / "verify" / "1" / "verdict.json"
    original = file.read_bytes()
    content = json.loads(original)
    run, manifest = RunFolder.open(whole.path)
    reached = find_verification(run.path)
    assert reached is not None
    assert reached.verdict is not None
    shown = list[str]()
    damages = (*changed_values(content), *changed_bytes(len(original), 15), *in_its_place(file))
    for number, (what, damage) in enumerate(damages):
        if file.is_symlink() or file.exists():
            shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()
        file.write_bytes(original)
        damage(file)
        found = find_verification(run.path)
        assert found is not None
        if found.verdict is None:
            assert found.problem, what
        elif found.verdict != reached.verdict:
            shown.append(what)
        if number % 100 == 0:
            masker = Masker(parse(()))
            assert render(gather(run, manifest, found, masker), masker, version="0")
    assert shown == []
