"""The folder of a search. Format ``loadgen-stress/2``.

::

    stress/<time>/
        hunt.json       what is tried: format, command, settings, versions
        trials.jsonl    one line per finished trial, in order of completion: name, result
        trials/<name>/  the files of each kept trial; see loadgen.hunt.trial
        summary.json    the results, and report.html with the same for reading; rewritten when a search ends
    stress/latest       link to the newest

A line is appended and flushed when its trial has finished, so that an interrupted search can be resumed.
Trials with different settings or versions are never mixed in one folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from loadgen.errors import RecordingFault, UsageError
from loadgen.hunt.summary import Results
from loadgen.hunt.trial import RUN, TrialResult
from loadgen.store.files import link_latest, new_folder_like, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadgen.hunt.grid import Grid, Trial
    from loadgen.hunt.summary import Summary

FORMAT = "loadgen-stress/2"
PARENT = Path("stress")


class HuntFolder:
    """An open search; its folder is locked."""

    def __init__(self, path: Path, grid: Grid, versions: Mapping[str, str]) -> None:
        self.path = path
        self.grid = grid
        self.versions = dict(versions)
        self.results = Results(grid)
        """The results of finished trials."""
        self.command = ["loadgen", *sys.argv[1:]]
        self._unnamed = False
        self._trials = path / "trials.jsonl"
        self._file = self._lock()

    def _lock(self) -> int:
        descriptor = os.open(self._trials, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise UsageError(
                f"another loadgen stress is using {self.path}", advice="Give another folder, or wait for it."
            ) from None
        return descriptor

    @classmethod
    def open(cls, wanted: Path | None, grid: Grid, versions: Mapping[str, str]) -> Self:
        """Begin a search in *wanted*, by default a new folder in ``stress/``, or resume the one there.

        Raises:
            UsageError: the folder is in use, or contains something else or a search with other settings.
            RecordingFault: its content is damaged.
        """
        path = wanted or _new(PARENT)
        try:
            path.mkdir(parents=True, exist_ok=True)
            begun = (path / "hunt.json").exists()
            if not begun and any(path.iterdir()):
                raise UsageError(
                    f"{path} is not empty, and is not a folder of loadgen stress",
                    advice="Give another folder.",
                )
            if begun:
                _check(path, grid, versions)
            hunt = cls(path, grid, versions)
        except OSError as error:
            raise UsageError(f"cannot use {path}: {error.strerror}", advice="Give another folder.") from error
        if begun:
            hunt._read()
        else:
            settings = grid.settings
            now = datetime.now(UTC).isoformat(timespec="seconds")
            about = {"format": FORMAT, "created": now, "command": hunt.command}
            write_json(path / "hunt.json", {**about, "settings": settings, "versions": dict(versions)})
        hunt._unnamed = wanted is None
        return hunt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        os.close(self._file)
        if kind is not None and issubclass(kind, UsageError) and not self.results:
            shutil.rmtree(self.path, ignore_errors=True)  # nothing was tried in it
            with suppress(OSError):
                if self._unnamed:
                    self.path.parent.rmdir()  # if it is empty

    def add(self, trial: Trial, result: TrialResult) -> None:
        """Store the result of a finished trial."""
        line = json.dumps({"trial": trial.name, **result.to_json()}) + "\n"
        os.write(self._file, line.encode())
        self.results.add(trial, result)

    def trial_folder(self, name: str) -> Path:
        """Return an empty folder for a trial's files; those of an interrupted trial are removed."""
        path = self.path / "trials" / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def conclude(self, ended: str) -> Summary:
        """Write ``summary.json``: what came of all finished trials, and why the search *ended*."""
        summary = self.results.summary(ended)
        if self._unnamed and self.results:
            link_latest(self.path)
        write_json(self.path / "summary.json", {"format": FORMAT, **summary.to_json()})
        return summary

    def discard(self, name: str) -> None:
        """Remove the files of a trial."""
        shutil.rmtree(self.path / "trials" / name, ignore_errors=True)

    def _read(self) -> None:
        """Read the finished trials; an incomplete last line is removed, and its trial repeated."""
        trials = {trial.name: trial for trial in self.grid.trials()}
        content = self._trials.read_bytes()
        end = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:end].splitlines(), 1):
            try:
                fields = json.loads(line)
                name = fields.pop("trial")
                self.results.add(trials[name], TrialResult.from_json(fields))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise RecordingFault(
                    f"{self._trials}, line {number} is damaged: {error}", advice="Restore it, or start again."
                ) from error
        os.truncate(self._file, end)


def _check(path: Path, grid: Grid, versions: Mapping[str, str]) -> None:
    """Refuse to resume a search with different settings."""
    try:
        content: dict[str, Any] = json.loads((path / "hunt.json").read_text(encoding="utf-8"))
        found, settings, made = content["format"], dict(content["settings"]), dict(content["versions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingFault(
            f"{path / 'hunt.json'} is damaged: {error}", advice="Give another folder."
        ) from error
    if found != FORMAT:
        raise RecordingFault(
            f"{path} was made by another version of loadgen: its format is {found!r}, and this one reads "
            f"{FORMAT!r}",
            advice="Give another folder.",
        )
    again = "Trials of different settings are not mixed: give another folder, or the same settings."
    for name, now in _flat(grid.settings).items():
        if (was := _flat(settings).get(name)) != now:
            raise UsageError(
                f"{path} was started with different settings: {name} was {_said(was)}, now {_said(now)}",
                advice=again,
            )
    for name in sorted({*made, *versions}):
        if made.get(name) != versions.get(name):
            what = f"made with another {name}: {made.get(name)}, not {versions.get(name)}"
            raise UsageError(f"{path} was {what}", advice=again)


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return *settings* flattened, with names such as ``record load timeout``."""
    found = dict[str, Any]()
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{name} ")
        else:
            found[f"{above}{name}"] = list(value) if isinstance(value, tuple) else value
    return found


def _said(value: object) -> str:
    return " ".join(map(str, value)) or "(none)" if isinstance(value, list) else str(value)


def first_failure(path: Path) -> Path:
    """Return the first diverged run of the search at *path*; *path* itself if it is not a search.

    Raises:
        UsageError: it contains no failing run.
    """
    if not os.path.isfile(path / "hunt.json"):  # noqa: PTH113 - unlike Path's, false for a name that cannot be
        return path
    try:
        failures = json.loads((path / "summary.json").read_text(encoding="utf-8"))["failures"]
        names = [one["trial"] for one in sorted(failures, key=lambda one: one["judgement"] != "diverged")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} contains no finished search: {error}", advice="Run the same loadgen stress again."
        ) from error
    for name in names:
        if (run := path / "trials" / str(name) / RUN).is_dir():
            return run
    raise UsageError(f"{path} contains no failing run", advice="Give a run folder.")


def new_folder(wanted: Path | None, parent: Path) -> Path:
    """Create *wanted*, or a new folder in *parent* named by the time, and return it.

    Raises:
        UsageError: it cannot be created, or *wanted* is not empty.
    """
    path = wanted or _new(parent)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise UsageError(f"{path} is not empty", advice="Give another folder.")
    except OSError as error:
        raise UsageError(f"cannot create {path}: {error.strerror}", advice="Give another folder.") from error
    return path


def _new(parent: Path) -> Path:
    """Create a new folder in *parent*, named by the time."""
    try:
        return new_folder_like(parent / f"{datetime.now(UTC):%Y%m%d-%H%M%S}")
    except OSError as error:
        raise UsageError(
            f"cannot create a folder in {parent}: {error.strerror}", advice="Give another folder."
        ) from error
