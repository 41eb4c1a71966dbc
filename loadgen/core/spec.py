"""The specification of a run: one complete, frozen, validated value with a lossless JSON codec.

The command line, a configuration file, a container, a cluster worker and the trials of a hunt all carry this
value; options are never rebuilt from it. Relative paths refer to the current directory of the process that
made the value; :func:`absolute` makes them valid everywhere on that machine.
"""

from __future__ import annotations

import enum
import math
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec.structs import replace

from loadgen.core import invariants, threshold
from loadgen.core.classification import table
from loadgen.core.option import Option, fields, shell
from loadgen.core.pacing import AT_ONCE, Shape, write_duration
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
BUNDLED = "server_app"
DEFAULT = "mixed"
"""The default scenario for the bundled server."""
FOREIGN = "routes"
"""The default scenario for any other server."""


class ModeName(enum.StrEnum):
    """What is replayed."""

    BOUNDARY = "boundary"
    """The application, from its request boundary inward; the requests are sent again."""
    PROCESS = "process"
    """The whole server process, by the engine alone; nothing is sent."""
    CLIENT = "client"
    """The load generator; there is no server."""


class Schedule(enum.StrEnum):
    """How the server's threads run while it is recorded; see :mod:`loadgen.traced.schedule`."""

    TURNS = "turns"
    PARALLEL = "parallel"
    EXPLORE = "explore"


class Runtime(enum.StrEnum):
    """Where server and load generator run."""

    LOCAL = "local"
    DOCKER = "docker"


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the values in this module."""


class ScenarioTraffic(Value, frozen=True, kw_only=True, tag="scenario"):
    """Virtual users run a scenario."""

    scenario: Annotated[
        str,
        Option(
            ("--scenario",),
            "What each virtual user does: a scenario of a Python file (FILE.py alone: all of its scenarios, "
            "by weight), or a built-in one: mixed, walkthrough, routes. [default: mixed; for your own server "
            "routes, which requests each path that needs no parameters]",
            "NAME|FILE[:NAME]",
        ),
    ] = ""
    """Empty: :data:`DEFAULT`, or for the user's own server :data:`FOREIGN`."""


class FileTraffic(Value, frozen=True, kw_only=True, tag="file"):
    """Virtual users send the requests that a file lists."""

    file: Annotated[
        str,
        Option(
            ("--from",),
            "Send the requests of a file instead of running a scenario: HAR, curl commands, a Postman "
            "collection, an OpenAPI document, or the folder of a recorded run.",
            "FILE|RUN",
        ),
    ]
    hosts: Annotated[
        tuple[str, ...],
        Option(
            ("--host",),
            "With --from: send only the requests to this host. May be repeated. "
            "[default: the host of the first request]",
            "HOST",
        ),
    ] = ()
    verbatim: Annotated[
        bool,
        Option(
            ("--verbatim",),
            "With --from: send the file or run unchanged. By default, ids, tokens and cookies from earlier "
            "answers are replaced by those of this session.",
        ),
    ] = False


class CommandTraffic(Value, frozen=True, kw_only=True, tag="client"):
    """A command is the client, through the gateway."""

    client: Annotated[
        str,
        Option(
            ("--client",),
            "Run this command as the client, such as 'pytest tests/api', and record every request that it "
            "sends. {url} in the command and $LOADGEN_URL in its environment hold the server's address.",
            "COMMAND",
        ),
    ]

    def __post_init__(self) -> None:
        if not self.client.strip():
            raise UsageError(
                "--client is empty", advice="Give the command of the client, such as 'pytest tests/api'."
            )


class ListenTraffic(Value, frozen=True, kw_only=True, tag="listen"):
    """Any program that connects to the gateway is a client."""

    listen: Annotated[
        str,
        Option(
            ("--listen",),
            "Record all requests sent to this address, until Ctrl-C or for --duration. With PORT alone, only "
            "this machine can connect.",
            "[HOST:]PORT",
        ),
    ]


Traffic = ScenarioTraffic | FileTraffic | CommandTraffic | ListenTraffic
"""Where the requests come from."""


class GatewaySpec(Value, frozen=True, kw_only=True):
    """How the gateway handles clients of ``--client`` and ``--listen``."""

    user_by: Annotated[
        str | None,
        Option(
            ("--user-by",),
            "With --client or --listen: requests with the same value of this field belong to one virtual "
            "user. [default: connections are assigned to users]",
            "header:NAME|cookie:NAME",
        ),
    ] = None
    proxy_for: Annotated[
        tuple[str, ...],
        Option(
            ("--proxy-for",),
            "With --client or --listen: also accept requests to this host from clients that use http_proxy. "
            "May be repeated.",
            "HOST[:PORT]",
        ),
    ] = ()


class Load(Value, frozen=True, kw_only=True):
    """How many requests are sent, and when."""

    concurrency: Annotated[
        int | None,
        Option(("--concurrency", "-c"), "Number of virtual users. [default: 8]", least=1, most=1024),
    ] = None
    """Virtual users; None: the scenario's own default."""
    iterations: Annotated[
        int | None,
        Option(
            ("--iterations", "-n"), "Iterations of each virtual user. [default: 10; with --from, 1]", least=1
        ),
    ] = None
    """Per user; None: the scenario's own default, or as many as fit into the duration."""
    only: Annotated[
        tuple[int, ...],
        Option(
            ("--only-user",),
            "Run only this virtual user, numbered from 0: it does what it does among all. May be repeated.",
            "N",
            least=0,
        ),
    ] = ()
    """The virtual users that run; empty: all."""
    client_processes: Annotated[
        int,
        Option(
            ("--client-processes",),
            "Number of processes that the virtual users are divided among, if one is not fast enough.",
            least=1,
            most=64,
        ),
    ] = 1
    shape: Shape = AT_ONCE
    seed: Annotated[int, Option(("--seed", "-s"), "Seed of the virtual users' choices.")] = 1
    timeout: Annotated[
        float, Option(("--timeout",), "Time limit for each request, in seconds.", least=0.1)
    ] = 30.0
    fail_if: Annotated[
        tuple[str, ...],
        Option(
            ("--fail-if",),
            "Exit with code 4 if this condition holds: 'p99>200ms', 'failed>1%', 'status_5xx>0', "
            "'rate<50/s'. May be repeated.",
            "CONDITION",
        ),
    ] = ()

    def __post_init__(self) -> None:
        for condition in self.fail_if:
            try:
                threshold.parse(condition)
            except ValueError as error:
                raise UsageError(f"--fail-if {condition!r}: {error}") from None
        shape = self.shape
        if not math.isfinite(self.timeout):
            raise UsageError(f"--timeout must be a number of seconds, not {self.timeout}")
        if shape.rate is not None and shape.duration is None:
            raise UsageError("--rate needs --duration", advice="Example: --duration 30s")
        if shape.duration is not None and self.iterations is not None:
            raise UsageError("--duration and --iterations exclude each other: give only one")
        if len(set(self.only)) < len(self.only):
            raise UsageError("--only-user names a user twice")
        if shape.duration is not None and shape.ramp_up >= shape.duration:
            lengths = f"{write_duration(shape.ramp_up)} and {write_duration(shape.duration)}"
            raise UsageError(f"--ramp-up must be shorter than --duration: they are {lengths}")

    @property
    def users(self) -> tuple[int, ...]:
        """The numbers of the virtual users that run; the concurrency is known."""
        return self.only or tuple(range(self.concurrency or 0))


class Topology(Value, frozen=True, kw_only=True):
    """Where a session runs; all but the runtime is for containers."""

    runtime: Annotated[
        Runtime | None,
        Option(
            ("--runtime",),
            "Where to run: server and load generator on this machine, or each in its own container. "
            "[default: local; verify: where the run was recorded]",
        ),
    ] = None
    """None: on this machine, or where the run was recorded."""
    image: Annotated[
        str | None,
        Option(
            ("--image",), "docker: existing image, made with compose/Dockerfile. [default: built if needed]"
        ),
    ] = None
    memory: Annotated[
        str | None, Option(("--memory",), "docker: memory limit of each container. [default: 512m]")
    ] = None

    def check(self) -> None:
        """Refuse container settings without --runtime docker.

        Raises:
            UsageError: a container setting is given with another runtime.
        """
        for field in fields(type(self)) if self.runtime is not Runtime.DOCKER else ():
            if field.kind is not Runtime and getattr(self, field.name) is not None:
                raise UsageError(
                    f"{field.option.names[0]} applies only to containers", advice="Add: --runtime docker"
                )


class RecordTopology(Topology, frozen=True, kw_only=True):
    """Where a session is recorded."""

    test_image: Annotated[
        str | None,
        Option(("--test-image",), "docker: the Python image to build on. [default: python:3.11-slim]"),
    ] = None
    requirements: Annotated[
        str | None,
        Option(("--requirements",), "docker: requirements file to install for your server.", "FILE"),
    ] = None

    def __post_init__(self) -> None:
        if self.image is not None and (self.test_image is not None or self.requirements is not None):
            raise UsageError(
                "--image uses an existing image: --test-image and --requirements have no effect with it"
            )


class Points(enum.StrEnum):
    """Where in the application's own code threads may be switched; see :mod:`loadgen.traced.points`."""

    LINES = "lines"
    CALLS = "calls"
    NONE = "none"


STRATEGIES = re.compile(r"random(:(0|1|0?\.[0-9]+))?|(pct|pause)(:[1-9][0-9]?)?|none")


class Explore(Value, frozen=True, kw_only=True):
    """How the schedule ``explore`` chooses the thread that runs; see :mod:`loadgen.traced.explore`."""

    strategy: Annotated[
        str,
        Option(
            ("--strategy",),
            "With --schedule explore: how to choose the thread that runs next: random[:CHANCE], pct[:DEPTH], "
            "pause[:DEPTH], none. docs/races.md explains them. [default: pct:3]",
        ),
    ] = "pct:3"
    points: Annotated[
        Points,
        Option(
            ("--points",),
            "Where in the application's own code an explored schedule may switch threads: at all lines; only "
            "at calls, where CPython with its GIL can; or none. [default: lines]",
        ),
    ] = Points.LINES
    schedule_seed: Annotated[
        int, Option(("--schedule-seed",), "With --schedule explore: seed of the strategy's choices.")
    ] = 1
    script: Annotated[
        str | None,
        Option(
            ("--script",), "With --schedule explore: make the choices of this schedule.jsonl again.", "FILE"
        ),
    ] = None
    measured: dict[str, int] = {}
    """Steps of each kind of request, as measured before."""
    trace: bool = False
    """Whether the schedule lists each line that runs."""

    def __post_init__(self) -> None:
        if not STRATEGIES.fullmatch(self.strategy):
            raise UsageError(
                f"--strategy {self.strategy} is unknown",
                advice="Give random, random:0.2, pct, pct:3, pause, pause:2, or none.",
            )


class InvariantSpec(Value, frozen=True, kw_only=True):
    """Conditions on the answers; see :mod:`loadgen.core.invariants`."""

    unique: Annotated[
        tuple[str, ...],
        Option(
            ("--unique",),
            "Broken if two answers have the same value, such as an id. May be repeated.",
            "json:PATH",
        ),
    ] = ()
    monotonic: Annotated[
        tuple[str, ...],
        Option(
            ("--monotonic",), "Broken if a later request gets a smaller value. May be repeated.", "json:PATH"
        ),
    ] = ()
    conserved: Annotated[
        tuple[str, ...],
        Option(
            ("--conserved",), "Broken if two answers have different values. May be repeated.", "json:PATH"
        ),
    ] = ()
    model: Annotated[
        str | None,
        Option(
            ("--model",),
            "Broken if no order of the requests explains the answers by this model: a Python file that says "
            "what the service does with one request at a time. docs/races.md describes it.",
            "FILE",
        ),
    ] = None

    def __post_init__(self) -> None:
        for name in ("unique", "monotonic", "conserved"):
            for path in getattr(self, name):
                try:
                    invariants.check_path(path)
                except ValueError as error:
                    raise UsageError(f"--{name} {path}: {error}") from error


class Label(Value, frozen=True, kw_only=True):
    """What a run is for among others: its name and tags, and how long it is of use."""

    name: Annotated[str, Option(("--name",), "Name of the run in suites and reports.", "TEXT")] = ""
    tags: Annotated[
        tuple[str, ...], Option(("--tag",), "Tag of the run, such as smoke. May be repeated.", "TAG")
    ] = ()
    note: Annotated[str, Option(("--note",), "Remark, kept with the run.", "TEXT")] = ""
    max_age: Annotated[
        int | None,
        Option(
            ("--max-age",),
            "Days that the recording may be used. After that, verify is undetermined until loadgen accept "
            "records it again. [default: no limit]",
            "DAYS",
            least=1,
            most=36500,
        ),
    ] = None

    def __post_init__(self) -> None:
        for option, text in (("--name", self.name), *(("--tag", tag) for tag in self.tags)):
            if not text.isprintable() or text != text.strip():
                raise UsageError(f"{option} {text!r} is not one line of text")
        if any(not re.fullmatch(r"[\w.-]+", tag) for tag in self.tags):
            raise UsageError("a --tag is one word: letters, digits, and . _ -")


class SecretSpec(Value, frozen=True, kw_only=True):
    """Which secrets are kept out of the run folder; see :mod:`loadgen.secrets`."""

    seal: Annotated[
        bool,
        Option(
            ("--seal",),
            "Keep secrets out of the run folder: what a replay needs is encrypted, and what can be read has "
            "pseudonyms in place of secrets. verify needs the key. docs/secrets.md explains it.",
        ),
    ] = False
    secret: Annotated[
        tuple[str, ...],
        Option(
            ("--secret",),
            "With pseudonyms for these values too, wherever they are: header:NAME, json:PATH, query:NAME, "
            "env:NAME, or regex:PATTERN. Implies --seal. May be repeated.",
            "RULE",
        ),
    ] = ()

    @property
    def wanted(self) -> bool:
        """Whether the run is sealed."""
        return self.seal or bool(self.secret)


class RunSpec(Value, frozen=True, kw_only=True):
    """Everything that defines a run to record."""

    target: Annotated[
        tuple[str, ...],
        Option(
            (),
            "The server to record: a script (serve.py), an application or factory (module:app), a command "
            "after -- (-- gunicorn shop:app), or folders with server and client (test.py and client.py). "
            "Default: the bundled demo server.",
            "TARGET",
        ),
    ] = ()
    """The server as given by the user: a name, or the words of a command; empty: the bundled server."""
    load: Load = Load()
    traffic: Traffic = ScenarioTraffic()
    gateway: GatewaySpec = GatewaySpec()
    health_path: Annotated[
        str, Option(("--health-path",), "Path of health checks, which are answered but not recorded.")
    ] = "/health"
    cwd: Annotated[
        str | None,
        Option(
            ("--cwd",),
            "Working directory of the server; TARGET is relative to it. [default: the current directory]",
            "DIR",
        ),
    ] = None
    python: Annotated[
        str | None,
        Option(
            ("--python",),
            "The Python that runs the server: its path, or the folder of its environment. [default: the one "
            "of the command after --; otherwise that of $VIRTUAL_ENV; otherwise loadgen's own]",
            "PATH",
        ),
    ] = None
    """None if it is loadgen's own; while a run is planned, that is not yet known."""
    server_env: Annotated[
        tuple[str, ...],
        Option(
            ("--server-env",),
            "Set an environment variable for the server; NAME alone passes on the current value. The "
            "recording stores it in clear text. May be repeated.",
            "NAME[=VALUE]",
        ),
    ] = ()
    stacks: Annotated[
        bool,
        Option(
            ("--stacks",),
            "Record the stack of each call, for verify --explain. Slower, and twice the size.",
        ),
    ] = False
    """Whether the engine records the stack of every call."""
    engine_alone: Annotated[
        bool,
        Option(
            ("--engine-alone",),
            "Run the engine without loadgen's workarounds, to see what it replays by itself.",
        ),
    ] = False
    """Whether workarounds are off, in the recording and in its replay."""
    schedule: Annotated[
        Schedule | None,
        Option(
            ("--schedule",),
            "How the server's threads run while recording. turns: one at a time, switching where they wait, "
            "so that races in memory replay. parallel: as in production; races in memory may replay "
            "differently. explore: one at a time, switched by --strategy, to find races. [default: turns]",
        ),
    ] = None
    explore: Explore = Explore()
    invariants: InvariantSpec = InvariantSpec()
    mode: Annotated[
        ModeName,
        Option(
            ("--trace",),
            "What to record for replay. boundary: the application, to which verify sends the requests again. "
            "process: the whole server process, with its sockets. client: the application and the load "
            "generator. docs/replay-modes.md compares them.",
        ),
    ] = ModeName.BOUNDARY
    label: Label = Label()
    secrets: SecretSpec = SecretSpec()
    topology: RecordTopology = RecordTopology()
    without: tuple[str, ...] = ()
    """Names of workarounds to leave out, to show the effect of each."""

    def __post_init__(self) -> None:
        if not self.health_path.startswith("/"):
            raise UsageError(
                f"--health-path {self.health_path} is not a path", advice=f"Give /{self.health_path}"
            )
        docker = self.topology.runtime is Runtime.DOCKER
        if docker and self.python is not None:
            raise UsageError(
                "--python works only on this machine: with --runtime docker, the image has the Python",
                advice="Leave it out, or choose the image: --test-image",
            )
        if self.secrets.wanted and (docker or self.mode is ModeName.CLIENT):
            where = "--runtime docker" if docker else f"--trace {self.mode}"
            raise UsageError(f"--seal works only on this machine, with the server traced: not with {where}")
        if self.load.client_processes > 1 and self.mode is ModeName.CLIENT:
            raise UsageError("--trace client traces one process: not with --client-processes")
        if self.engine_alone and (docker or self.mode is not ModeName.BOUNDARY):
            raise UsageError("--engine-alone works only with --runtime local and --trace boundary")
        if self.gateway != GatewaySpec() and not isinstance(self.traffic, CommandTraffic | ListenTraffic):
            given = "--user-by" if self.gateway.user_by else "--proxy-for"
            raise UsageError(f"{given} needs --client or --listen", advice="Add one of them.")
        self._check_schedule()

    def _check_schedule(self) -> None:
        if self.threads is Schedule.EXPLORE and self.topology.runtime is Runtime.DOCKER:
            raise UsageError("--schedule explore works only on this machine, not with --runtime docker")
        if self.explore != Explore() and self.threads is not Schedule.EXPLORE:
            raise UsageError(
                f"--strategy, --points, --schedule-seed and --script exclude --schedule {self.schedule}",
                advice="They choose among schedules: --schedule explore",
            )
        asked = Schedule.EXPLORE if self.threads is Schedule.EXPLORE else self.schedule
        if asked in {Schedule.TURNS, Schedule.EXPLORE} and not self._schedules:
            option = "--engine-alone" if self.engine_alone else f"--trace {self.mode}"
            raise UsageError(
                f"--schedule {asked} needs loadgen's own scheduler, which is off with {option}",
                advice=f"Leave out --schedule, or {option}.",
            )

    @property
    def _schedules(self) -> bool:
        return not self.engine_alone and self.mode is not ModeName.PROCESS

    @property
    def threads(self) -> Schedule:
        """How the server's threads run: as asked for, if only by an option of the explored schedule."""
        if self.schedule is None and self.explore != Explore():
            return Schedule.EXPLORE
        return self.schedule or (Schedule.TURNS if self._schedules else Schedule.PARALLEL)

    @property
    def runtime(self) -> Runtime:
        """Where it is recorded."""
        return self.topology.runtime or Runtime.LOCAL

    @property
    def traces_program(self) -> bool:
        """Whether it traces a client that is a program, and not loadgen's own load generator."""
        return self.mode is ModeName.CLIENT and isinstance(self.traffic, CommandTraffic)

    @property
    def target_name(self) -> str:
        """The server as given by the user, as one line."""
        return shlex.join(self.target) if len(self.target) > 1 else (*self.target, BUNDLED)[0]

    @property
    def default_scenario(self) -> str:
        """The built-in scenario for this server."""
        return FOREIGN if self.target and not any(BUNDLED in word for word in self.target) else DEFAULT

    @property
    def traffic_name(self) -> str:
        """The traffic as given by the user, without the folder of a file."""
        match self.traffic:
            case ScenarioTraffic(scenario=name):
                return name.rpartition("/")[2] if ".py" in name else name or self.default_scenario
            case FileTraffic(file=path):
                return path.rpartition("/")[2]
            case CommandTraffic(client=command):
                return f"the client {command}"
            case ListenTraffic(listen=address):
                return f"clients at {address}"

    @property
    def public(self) -> RunSpec:
        """This value as the run folder stores it: without the values of the server's variables."""
        return replace(self, server_env=tuple(one.partition("=")[0] for one in self.server_env))


class VerifySpec(Value, frozen=True, kw_only=True):
    """Everything that defines a verification."""

    timeout: Annotated[
        float,
        Option(("--timeout",), "Seconds without an answer after which the replay counts as hung.", least=0.1),
    ] = 30.0
    replays: Annotated[
        int,
        Option(
            ("--replays",),
            "Number of replays, to separate flaky differences from stable ones.",
            least=1,
            most=100,
        ),
    ] = 1
    ignore: Annotated[
        tuple[str, ...],
        Option(
            ("--ignore",),
            "Leave a field out of the comparison: header:NAME, or json:PATH (json:$.timestamp, json:$..at). "
            "The verdict lists the rule. May be repeated.",
            "RULE",
        ),
    ] = ()
    explain: Annotated[
        bool,
        Option(
            ("--explain",),
            "After a divergence, replay once more and show what each call of the first differing request got "
            "from the recording, and at which line it differed.",
        ),
    ] = False
    coverage: Annotated[
        str | None,
        Option(
            ("--coverage",),
            "Write which lines of the application the replay reaches, by request, to FILE, for coverage.py: "
            "coverage html --data-file FILE --show-contexts.",
            "FILE",
        ),
    ] = None
    strict: Annotated[
        bool,
        Option(
            ("--strict",),
            "Report any differing call as a divergence, even if the code has changed. By default, changed "
            "code may read differently.",
        ),
    ] = False
    calls: Annotated[
        tuple[str, ...],
        Option(
            ("--call",),
            "With changed code: treat calls whose full name matches PATTERN as KIND: effect, read, "
            "statement, ends, step or ambient. docs/changed-code.md explains them. May be repeated.",
            "PATTERN=KIND",
        ),
    ] = ()
    mode: Annotated[
        ModeName | None,
        Option(
            ("--replay",),
            "Which recording of the run to replay: see record --trace. [default: as recorded]",
        ),
    ] = None
    checkout: Annotated[
        str | None,
        Option(
            ("--checkout",),
            "Folder of the application's code, if it has moved since the recording. [default: the folder "
            "above the run that contains the code; otherwise where it was recorded]",
            "DIR",
        ),
    ] = None
    python: Annotated[
        str | None,
        Option(
            ("--python",),
            "The Python that runs the server: its path, or the folder of its environment. [default: the one "
            "that ran the recorded server]",
            "PATH",
        ),
    ] = None
    topology: Topology = Topology()

    def __post_init__(self) -> None:
        if not math.isfinite(self.timeout):
            raise UsageError(f"--timeout must be a number of seconds, not {self.timeout}")
        table(self.calls)

    def mode_of(self, recorded: ModeName, run: str) -> ModeName:
        """Return the mode in which to replay *run*, whose recording was made in mode *recorded*.

        Raises:
            UsageError: the run has no recording for the requested mode.
        """
        has = {recorded, ModeName.BOUNDARY} if recorded is ModeName.CLIENT else {recorded}
        if self.mode is not None and self.mode not in has:
            raise UsageError(
                f"--replay {self.mode} is not possible: {run} was recorded with --trace {recorded}",
                advice=f"Record one: {shell('record', '--trace', self.mode)}",
            )
        return self.mode or recorded

    def topology_of(self, recorded: Runtime, run: str) -> Topology:
        """Return where to replay *run*, which was recorded in *recorded*.

        Raises:
            UsageError: another runtime was given, in which interpreter and paths would differ.
        """
        if self.topology.runtime not in {None, recorded}:
            raise UsageError(
                f"{run} was recorded with --runtime {recorded}, and can only be replayed there",
                advice=f"Leave out --runtime, or record again with --runtime {self.topology.runtime}.",
            )
        if self.python is not None and recorded is Runtime.DOCKER:
            raise UsageError(f"--python does not apply to {run}: its image has the Python")
        topology = replace(self.topology, runtime=recorded)
        topology.check()
        return topology


def is_builtin(traffic: Traffic) -> bool:
    """Whether *traffic* is one of loadgen's own scenarios."""
    return isinstance(traffic, ScenarioTraffic) and file_of(traffic) is None


def file_of(traffic: Traffic) -> str | None:
    """Return the file of *traffic*; None if it is built in."""
    match traffic:
        case ScenarioTraffic(scenario=name) if ".py" in name:
            file, py, _ = name.rpartition(".py")
            return file + py
        case FileTraffic(file=path):
            return path
    return None


def absolute(spec: RunSpec, resolve: Callable[[str], str]) -> RunSpec:
    """Return *spec* with all paths made absolute by *resolve*.

    Only the folder of an interpreter or of a command is resolved, because a link is what makes an interpreter
    one of an environment.
    """

    def program(path: str) -> str:
        folder, _, name = path.rpartition("/")
        return f"{resolve(folder or '.')}/{name}"

    def word_of(at: int, word: str) -> str:
        path = word if spec.cwd is None or word.startswith("/") else f"{spec.cwd}/{word}"
        if word.endswith(".py"):
            return resolve(path)
        return program(path) if not at and "/" in word else word

    python = spec.python
    if python is not None and not re.fullmatch(r"python[\d.]*", python):  # such a name is looked up in PATH
        python = program(python.rstrip("/"))
    traffic = spec.traffic
    match traffic:
        case ScenarioTraffic(scenario=name) if ".py" in name:
            file, py, rest = name.rpartition(".py")
            traffic = ScenarioTraffic(scenario=f"{resolve(file + py)}{rest}")
        case FileTraffic(file=path):
            traffic = replace(traffic, file=resolve(path))
    topology = spec.topology
    if topology.requirements is not None:
        topology = replace(topology, requirements=resolve(topology.requirements))
    explore = spec.explore
    if explore.script is not None:
        explore = replace(explore, script=resolve(explore.script))
    held = spec.invariants
    if held.model is not None:
        held = replace(held, model=resolve(held.model))
    return replace(
        spec,
        explore=explore,
        invariants=held,
        target=tuple(word_of(at, word) for at, word in enumerate(spec.target)),
        python=python,
        cwd=resolve(spec.cwd) if spec.cwd else None,
        traffic=traffic,
        topology=topology,
    )


def to_json(value: Any) -> bytes:
    """Encode a value made of structs, such as those of this module, as one line of JSON."""
    return msgspec.json.encode(value)


def from_json(content: bytes | str, kind: type[T]) -> T:
    """Decode a value of *kind* that :func:`to_json` encoded.

    Raises:
        ValueError: *content* is not valid; the message names the field.
    """
    return msgspec.json.decode(content, type=kind)
