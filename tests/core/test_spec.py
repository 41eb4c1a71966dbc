"""The specification: valid once built, lossless as JSON, and equal after formatting as a command line."""

from __future__ import annotations

import shlex
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.cli.main import record_spec, verify_spec
from loadgen.core.option import shell, words
from loadgen.core.pacing import Shape
from loadgen.core.spec import (
    CommandTraffic,
    FileTraffic,
    ListenTraffic,
    Load,
    ModeName,
    RecordTopology,
    RunSpec,
    Runtime,
    ScenarioTraffic,
    Schedule,
    Traffic,
    VerifySpec,
    absolute,
    from_json,
    to_json,
)
from loadgen.errors import UsageError

NAMES = st.text(string.ascii_letters, min_size=1, max_size=8)


@st.composite
def run_specs(draw: st.DrawFn) -> RunSpec:
    """Draw any valid specification that a command line can say."""
    closed = draw(st.booleans())
    shape = Shape() if closed else Shape(draw(st.integers(2, 90)), draw(st.sampled_from([0.0, 1.0])))
    load = Load(
        concurrency=draw(st.none() | st.integers(1, 1024)),
        iterations=draw(st.none() | st.integers(1, 50)) if closed else None,
        only=tuple(draw(st.lists(st.integers(0, 9), max_size=3, unique=True))),
        shape=shape,
        seed=draw(st.integers(-5, 5)),
        timeout=draw(st.sampled_from([0.5, 30.0, 600.0])),
    )
    traffic: Traffic = draw(
        st.one_of(
            st.builds(lambda name: ScenarioTraffic(scenario=name), NAMES),
            st.builds(lambda name: FileTraffic(file=f"{name}.har"), NAMES),
            st.builds(lambda name: CommandTraffic(client=f"curl '{{url}}/{name}' | sh"), NAMES),
            st.builds(lambda name: ListenTraffic(listen=f"{name}:8080"), NAMES),
        )
    )
    docker = draw(st.booleans())
    topology = RecordTopology(runtime=Runtime.DOCKER, memory="1g") if docker else RecordTopology()
    return RunSpec(
        target=tuple(draw(st.lists(NAMES, max_size=3))),
        load=load,
        traffic=traffic,
        cwd=draw(st.none() | NAMES),
        server_env=tuple(draw(st.lists(st.builds("{}={}".format, NAMES, NAMES), max_size=2))),
        stacks=draw(st.booleans()),
        schedule=draw(st.sampled_from([None, Schedule.PARALLEL])),
        mode=draw(st.sampled_from(ModeName)),
        topology=topology,
    )


@given(run_specs())
def test_json_is_lossless(spec: RunSpec) -> None:
    """What is read back from JSON is the value that was written."""
    assert from_json(to_json(spec), RunSpec) == spec


@pytest.mark.slow
@given(run_specs())
def test_a_command_line_says_the_same(spec: RunSpec) -> None:
    """The words of a specification, read by the command line's own parser, are that specification."""
    read = record_spec(words(spec))
    assert read == spec
    for mine, told in ((read.mode, spec.mode), (read.schedule, spec.schedule)):
        assert mine is told  # and not only its text, which is equal to it


def test_so_does_that_of_a_verification() -> None:
    """The same for verify, with every option."""
    spec = VerifySpec(timeout=5.0, replays=3, ignore=("header:Date", "json:$.at"), explain=True)
    assert verify_spec(words(spec)) == spec
    assert from_json(to_json(spec), VerifySpec) == spec


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"more": 1}',
        b'{"load": {"concurrency": "8"}}',
        b'{"load": {"shape": {"more": 1}}}',
        b'{"traffic": {"type": "unknown"}}',
        b'{"mode": "server"}',
    ],
)
def test_what_is_no_specification_is_refused(content: bytes) -> None:
    """A field that is unknown or of another type is an error that names it, never a default."""
    with pytest.raises(ValueError, match=r".+"):
        from_json(content, RunSpec)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"load": {"shape": Shape(None, 0, 5.0)}}, "--rate needs --duration"),
        ({"load": {"shape": Shape(5.0), "iterations": 3}}, "exclude each other"),
        ({"load": {"shape": Shape(5.0, 5.0)}}, "--ramp-up must be shorter"),
        ({"load": {"timeout": float("inf")}}, "--timeout"),
        ({"load": {"only": (3, 3)}}, "--only-user"),
        ({"engine_alone": True, "mode": ModeName.CLIENT}, "--engine-alone"),
        ({"health_path": "health"}, "--health-path health is not a path"),
        ({"engine_alone": True, "schedule": Schedule.TURNS}, "--schedule turns"),
        ({"mode": ModeName.PROCESS, "schedule": Schedule.TURNS}, "--schedule turns"),
        ({"engine_alone": True, "topology": RecordTopology(runtime=Runtime.DOCKER)}, "--engine-alone"),
    ],
)
def test_contradictions_cannot_be_built(fields: dict[str, Any], says: str) -> None:
    """A specification that is there makes sense: every contradiction is refused when it is built."""
    with pytest.raises(UsageError, match=says):
        RunSpec(**{**fields, **({"load": Load(**fields["load"])} if "load" in fields else {})})


def test_a_shell_reads_the_words_that_were_given() -> None:
    """Names with spaces and quotes stay one word, and a path is never an option."""
    line = shell("verify", Path("x y/it's"), "--ignore", "json:$.a", Path("-"))
    assert shlex.split(line) == ["loadgen", "verify", "x y/it's", "--ignore", "json:$.a", "./-"]


def test_an_empty_command_is_no_client() -> None:
    """It would end at once, and nothing would be recorded."""
    with pytest.raises(UsageError, match="--client is empty"):
        CommandTraffic(client=" ")


@pytest.mark.parametrize("recorded", ModeName)
@pytest.mark.parametrize("wanted", ModeName)
def test_a_replay_needs_its_recording(recorded: ModeName, wanted: ModeName) -> None:
    """A run is replayed as it was recorded; another way needs another recording, which is advised."""
    assert VerifySpec().mode_of(recorded, "run") is recorded
    spec = VerifySpec(mode=wanted)
    if wanted is recorded or (recorded, wanted) == (ModeName.CLIENT, ModeName.BOUNDARY):
        assert spec.mode_of(recorded, "run") is wanted
    else:
        with pytest.raises(UsageError) as refused:
            spec.mode_of(recorded, "run")
        assert f"--trace {wanted}" in refused.value.advice


def test_a_run_folder_keeps_no_values_of_variables() -> None:
    """The specification in a run folder names the server's variables; their values are not in it."""
    spec = RunSpec(server_env=("TOKEN=hunter2", "PLAIN"))
    assert spec.public.server_env == ("TOKEN", "PLAIN")
    assert b"hunter2" not in to_json(spec.public)


def test_absolute_names_the_same_files() -> None:
    """Every file that a specification names is resolved, and nothing else is changed."""
    spec = RunSpec(
        target=("python", "serve.py", "--port"),
        cwd="here",
        traffic=ScenarioTraffic(scenario="shop.py:buy"),
        topology=RecordTopology(runtime=Runtime.DOCKER, requirements="needs.txt"),
    )
    found = absolute(spec, lambda path: f"/abs/{path}")
    assert found.target == ("python", "/abs/here/serve.py", "--port")
    assert found.cwd == "/abs/here"
    assert found.traffic == ScenarioTraffic(scenario="/abs/shop.py:buy")
    assert found.topology.requirements == "/abs/needs.txt"
    assert absolute(RunSpec(), lambda path: f"/abs/{path}") == RunSpec()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (".venv", "/abs/./.venv"),
        (".venv/", "/abs/./.venv"),
        (".venv/bin/python", "/abs/.venv/bin/python"),
        ("python3.12", "python3.12"),
        (None, None),
    ],
)
def test_an_interpreter_keeps_its_own_name(given: str | None, found: str | None) -> None:
    """A link is what makes it an environment's: only its folder is resolved, and names in PATH are not."""
    spec = absolute(RunSpec(python=given, target=("bin/shop", "a/b")), lambda path: f"/abs/{path}")
    assert (spec.python, spec.target) == (found, ("/abs/bin/shop", "a/b"))
