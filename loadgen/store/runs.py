"""Finds the runs in a folder by their manifests. Damaged runs are listed with the reason."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.core.option import shell
from loadgen.errors import LoadgenError, RecordingFault, UsageError
from loadgen.store import manifest as manifests
from loadgen.store.manifest import State
from loadgen.store.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadgen.store.manifest import Manifest

DEPTH = 4
"""Depth of the search."""
_NOT_RUNS = frozenset({"verify", "bodies", "__pycache__"})


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run folder, or a folder that should be one."""

    label: str
    """Its name, or its path in the searched folder; unique among the results."""
    path: Path
    manifest: Manifest | None = None
    """None if it cannot be read."""
    problem: LoadgenError | None = None
    """Why it cannot be read."""


def is_run(path: Path) -> bool:
    """Whether there is a run folder at *path*, damaged or not."""
    return os.path.lexists(path / manifests.NAME)


def find_runs(given: Sequence[Path]) -> list[FoundRun]:
    """Return the runs in *given*: run folders, and folders that contain some.

    A link to a run that is given, too, as in ``runs/*``, is not another run.

    Raises:
        UsageError: a folder does not exist, or no run was found.
    """
    folders = {path.resolve() for path in given if not path.is_symlink()}
    named = [path for path in given if not (path.is_symlink() and path.resolve() in folders)]
    found = [one for path in named for one in _found(path)]
    if not any(one.manifest is not None for one in found) and all(map(_is_foreign, found)):
        names = ", ".join(map(str, given))
        raise UsageError(
            f"there is no run in {names}", advice=f"Record one: {shell('record', '--run', given[0] / 'NAME')}"
        )
    labels = [one.label for one in found]
    return [
        one if labels.count(one.label) == 1 else FoundRun(str(one.path), one.path, one.manifest, one.problem)
        for one in found
    ]


def _found(given: Path) -> Iterator[FoundRun]:
    if is_run(given):
        yield read_run(given, given.name or given.resolve().name)
        return
    if not given.is_dir():
        raise UsageError(f"there is no folder {given}", advice="Give run folders, or a folder of them.")
    inside = [*_inside(given, "", DEPTH)]
    if all(map(_is_foreign, inside)):  # what was named is in the result, so that nothing is left out silently
        none = RecordingFault(
            f"there is no run in {given}", advice=f"Record one: {shell('record', '--run', given / 'NAME')}"
        )
        inside = [FoundRun(given.name or given.resolve().name, given, problem=none)]
    yield from inside


def _inside(folder: Path, prefix: str, depth: int) -> Iterator[FoundRun]:
    for path in sorted(_folders(folder)):
        label = f"{prefix}{path.name}"
        if is_run(path):
            yield read_run(path, label)
        else:
            deeper = [*_inside(path, f"{label}/", depth - 1)] if depth > 1 else []
            if any(one.manifest is not None or not _is_foreign(one) for one in deeper):
                yield from deeper
            else:
                yield FoundRun(label, path, problem=_foreign(path))


def _folders(folder: Path) -> Iterator[Path]:
    try:
        inside = [*folder.iterdir()]
    except OSError:
        return
    for path in inside:
        if path.is_dir() and not path.is_symlink() and path.name not in _NOT_RUNS and path.name[0] != ".":
            yield path


def read_run(path: Path, label: str) -> FoundRun:
    """Return the run in the folder *path*, labelled *label* unless it has a name."""
    try:
        _, manifest = RunFolder.open(path)
    except LoadgenError as error:
        return FoundRun(label, path, problem=error)
    return FoundRun(manifest.spec.label.name or label, path, manifest)


def incomplete_since(path: Path) -> Path | None:
    """Return the last run beside *path* that was started after it and is not complete, if there is one."""

    def written(folder: Path) -> int:  # so that older manifests need not be read
        return os.lstat(folder / manifests.NAME).st_mtime_ns

    run = read_run(path, "").manifest
    since = written(path)
    beside = (
        read_run(one, one.name) for one in _folders(path.parent) if is_run(one) and written(one) >= since
    )
    later = [
        (one.manifest.created, one.path)
        for one in beside
        if one.manifest is not None
        and run is not None
        and one.manifest.created > run.created
        and one.manifest.result.state is not State.COMPLETE
    ]
    return max(later)[1] if later else None


def _foreign(path: Path) -> LoadgenError:
    return RecordingFault(
        f"{path} is not a run folder: it has no {manifests.NAME}", advice="Remove it, or record again."
    )


def _is_foreign(one: FoundRun) -> bool:
    return one.manifest is None and not is_run(one.path)


def size(path: Path) -> int:
    """Return the size in bytes of the run folder *path*, without its verifications."""
    total = 0
    for folder, folders, files in os.walk(path):
        if Path(folder) == path:
            folders[:] = [name for name in folders if name != "verify"]
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - many files
            except OSError:
                continue
    return total
