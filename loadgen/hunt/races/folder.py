"""The folder of a race that was found. Format ``loadgen-race/4``.

::

    races/<time>/
        hunting.json    of a hunt that has not finished: how far it came
        race.json       what was hunted and found: specification, kinds of failure, lines
        script.jsonl    the choices that fail; see loadgen.traced.choices
        found/run/      the recording of the failure
        smallest/run/   that of the smallest case that fails, with another race.json
"""

from __future__ import annotations

import json
import linecache
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from loadgen.core import schedules
from loadgen.core.option import command, shell
from loadgen.core.relocation import IN_PLACE, Relocation
from loadgen.core.spec import Explore, RunSpec, absolute, from_json, to_json
from loadgen.engine.folders import found
from loadgen.errors import LoadgenError, UsageError
from loadgen.hunt.folder import new_folder
from loadgen.hunt.races.hunting import FOUND, SMALLEST, Hunted
from loadgen.hunt.races.trial import look
from loadgen.hunt.trial import RUN
from loadgen.store.files import write_json
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.invariants import Invariant
    from loadgen.hunt.races.narrowing import Narrowed

FORMAT = "loadgen-race/4"
PROGRESS, ABOUT, SCRIPT = "hunting.json", "race.json", "script.jsonl"


COUNTED = ("trials", "requests", "failed", "why", "measured", "seconds", "without_race", "unchecked")
"""Fields of :class:`Hunted` that are kept as they are."""


@dataclass(frozen=True, slots=True)
class Race:
    """A failure in words, with the commands that reproduce it."""

    message: str
    kinds: tuple[str, ...]
    story: tuple[str, ...]
    """The explanation: one sentence with both lines, or the list of switches."""
    replays: tuple[int, int]
    """Number of identical replays, and of all."""
    requests: int
    preemptions: int
    run: str
    script: str
    replay: str
    """The command that replays the failure."""
    record: str
    """The command that records the same choices again."""
    repeats: bool
    """Whether the application failed again when its choices were recorded again."""
    is_minimal: bool
    """Whether it failed with none of its switches left out; false if the reduction ended before."""

    def to_json(self) -> dict[str, Any]:
        """Return the race as a JSON object."""
        return asdict(self)


def save(folder: Path, spec: RunSpec, hunted: Hunted) -> None:
    """Write how far the hunt for *spec* in *folder* came; what was found is moved to its place before."""
    content = {
        "format": FORMAT,
        "spec": json.loads(to_json(spec)),
        "found": None if hunted.spec is None else json.loads(to_json(hunted.spec)),
        **{name: getattr(hunted, name) for name in COUNTED},
    }
    write_json(folder / PROGRESS, content)


def open_hunt(
    wanted: Path | None, parent: Path, spec: RunSpec, invariants: Sequence[Invariant]
) -> tuple[Path, Hunted]:
    """Return the folder of a hunt, *wanted* or a new one in *parent*, and how far it came before.

    Raises:
        UsageError: the folder holds something else, a hunt for something else, or one that has finished.
    """
    if wanted is None or not (wanted / PROGRESS).is_file():
        if wanted is not None and (wanted / ABOUT).is_file():
            raise UsageError(f"the hunt in {wanted} has found a race", advice="Give another folder.")
        return new_folder(wanted, parent), Hunted()
    try:
        content = json.loads((wanted / PROGRESS).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")  # noqa: TRY301
        before = from_json(json.dumps(content["spec"]), RunSpec)
        hunted = Hunted(**{name: content[name] for name in COUNTED})
        if content["found"] is not None:
            hunted.spec = from_json(json.dumps(content["found"]), RunSpec)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{wanted / PROGRESS} cannot be read: {error}", advice="Give another folder."
        ) from error
    if before != spec:
        raise UsageError(
            f"{wanted} has a hunt with other options: {command('races', before)}",
            advice="Give another folder, or the same options.",
        )
    if hunted.spec is not None:
        hunted.found = look(RunFolder(wanted / FOUND / RUN), invariants)
    return wanted, hunted


def write(folder: Path, narrowed: Narrowed, code: str) -> Race:
    """Write the result to *folder*, and return it in words; *code* is the application's folder."""
    script = folder / SCRIPT
    spec = replace(narrowed.spec, explore=Explore(points=narrowed.spec.explore.points))
    script.write_text(schedules.script(narrowed.script, narrowed.tried.users), encoding="utf-8")
    broken = narrowed.tried.broken
    first = broken[0]
    preemptions = [choice for choice in narrowed.script if choice.is_preemption]
    run = narrowed.tried.run
    race = Race(
        message=first.message,
        kinds=tuple(sorted({one.kind for one in broken})),
        story=tuple(story(narrowed, first.message, Path(code))),
        replays=narrowed.replays,
        requests=narrowed.tried.requests,
        preemptions=len(preemptions),
        run=str(run),
        script=str(script),
        replay=shell("verify", run),
        record=command("record", spec, "--script", str(script)),
        repeats=narrowed.repeats,
        is_minimal=narrowed.is_minimal,
    )
    about = {
        "format": FORMAT,
        "spec": json.loads(to_json(spec)),
        "race": race.to_json(),
        "pair": None if narrowed.pair is None else asdict(narrowed.pair),
    }
    for where in (folder, run):
        write_json(where / ABOUT, about)
    (folder / PROGRESS).unlink(missing_ok=True)
    return race


SWITCHED = {"slow": "waited for a call", "off": "waited for a call", "end": "ended"}
"""What a thread did that gave its turn up, if it was not stopped."""


def story(narrowed: Narrowed, message: str, code: Path) -> list[str]:
    """Explain the failure, with lines of the code in *code*."""

    def quoted(at: str) -> str:
        file, _, line = schedules.location(at).rpartition(":")
        text = linecache.getline(str(code / file), int(line)).strip() if line.isdigit() else ""
        return f"{schedules.location(at)} `{text}`" if text else schedules.location(at)

    if (pair := narrowed.pair) is not None:
        places = []
        if pair.at:  # it was stopped in the application's own code
            places.append(f"{'inside' if pair.inside else 'at'} {quoted(pair.at)}")
        if pair.after and not pair.inside:
            places.append(f"after {quoted(pair.after)}")
        ran = quoted(pair.ran)
        stopped, other = schedules.name(pair.stopped), schedules.name(pair.other)
        where = f" {', '.join(places)}" if places else ""
        return [f"{stopped} was stopped{where}; {other} ran {ran} in between: {message}"]
    if any(kind.startswith("deadlock") for kind in narrowed.tried.kinds):
        return [str(entry) for entry in narrowed.tried.entries if isinstance(entry, schedules.Deadlock)]
    made = [choice for choice in narrowed.script if choice.is_preemption or choice.is_timing]
    if not made:
        return [f"{message}; no thread needs to be stopped in its own code"]
    # Where one thread is stopped and several run meanwhile, their order is needed, too.
    then = [choice for choice in narrowed.script if choice.kind == "end"] if len(made) == 1 else []
    return [
        f"{schedules.name(one.thread)} {SWITCHED.get(one.kind, 'was stopped')}"
        f"{f' at {quoted(one.at)}' if one.at else ''}, and {schedules.name(one.to)} went on"
        for one in (*made, *then)
    ]


@dataclass(frozen=True, slots=True)
class RecordedRace:
    """A race to search in changed code."""

    spec: RunSpec
    kinds: frozenset[str]
    script: Path
    directory: str
    """The directory in which its commands ran, or which corresponds to it in this checkout."""
    repeats: bool
    """Whether its choices failed again with the code that had the race."""


def read(folder: Path) -> RecordedRace:
    """Return the race in *folder*.

    Raises:
        UsageError: it contains no race.
        RecordingFault: the application is not here.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", advice="Give an output folder of loadgen races.")
    if not (folder / ABOUT).is_file():
        raise UsageError(
            f"{folder} contains no race: there is no {ABOUT} in it",
            advice="Give an output folder of loadgen races that found one.",
        )
    try:
        content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")  # noqa: TRY301
        spec = from_json(json.dumps(content["spec"]), RunSpec)
        kinds, repeats = frozenset(content["race"]["kinds"]), bool(content["race"]["repeats"])
        kept = folder / SMALLEST if (folder / SMALLEST).is_dir() else folder / FOUND
        run, manifest = RunFolder.open(kept / RUN)
    except (LoadgenError, OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder} contains no race: {error}", advice="Give an output folder of loadgen races."
        ) from error
    started = manifest.result.started
    here = found(started.checkout, list(manifest.sources), started.argv, run.path, None)
    moved = Relocation(((started.checkout, here),)) if here != started.checkout else IN_PLACE
    directory = moved.here(started.directory)
    if not Path(directory).is_dir():
        raise UsageError(
            f"the directory in which {folder} was made no longer exists: {directory}",
            advice="Create it again, or search again.",
        )
    whole = absolute(spec, lambda path: moved.here(str(Path(directory, path))))
    return RecordedRace(whole, kinds, (folder / SCRIPT).absolute(), directory, repeats)
