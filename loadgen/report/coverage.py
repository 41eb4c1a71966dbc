"""What replays reached, for coverage.py: its data file, with a context for each request, and its analysis."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.errors import MachineFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadgen.core.reach import Lines, Reach

_HEAD = b"SQLite format 3"


@dataclass(frozen=True, slots=True)
class FileCovered:
    """How much of a source file was reached."""

    file: str
    statements: int
    missing: tuple[int, ...]
    """Lines with statements that were not reached."""

    @property
    def share(self) -> float:
        """The share of statements that were reached, from 0 to 1; 1 if there are none."""
        return 1 - len(self.missing) / self.statements if self.statements else 1.0


def library() -> Any:
    """Return coverage.py.

    Raises:
        MachineFault: it is not installed.
    """
    try:
        return importlib.import_module("coverage")
    except ImportError as error:
        raise MachineFault(
            "--coverage needs coverage.py, which is not installed beside loadgen",
            advice="Install it: pip install coverage",
        ) from error


def check(file: Path) -> None:
    """Refuse to replace *file* if it is something other than a data file of coverage.py.

    Raises:
        UsageError: it is, or its folder does not exist.
        MachineFault: coverage.py is not installed.
    """
    library()
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}", advice="Give another file: --coverage FILE")
    if file.is_dir() or (file.exists() and file.stat().st_size and not _is_data(file)):
        raise UsageError(
            f"{file} exists, and is not a data file of coverage.py",
            advice="Give another file: --coverage FILE",
        )


def _is_data(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(_HEAD)) == _HEAD


def write(file: Path, reached: Mapping[str, Reach], sources: Iterable[str]) -> list[FileCovered]:
    """Write what runs *reached*, by name, to *file*, and return how much of each of *sources* that is.

    The contexts are ``RUN start`` and ``RUN request N``.
    """
    coverage = library()
    data = coverage.CoverageData(basename=str(file))
    data.erase()
    for run, reach in reached.items():
        _add(data, f"{run} start", reach.other)
        for seq in reach.requests:
            _add(data, f"{run} request {seq}", reach.lines(seq))
    known = sorted(one for one in sources if Path(one).is_file())
    data.set_context("")
    data.touch_files(known)
    data.write()
    measured = coverage.Coverage(data_file=str(file))
    measured.load()
    return [
        _covered(measured, one) for one in sorted({*known, *data.measured_files()}) if Path(one).is_file()
    ]


def _add(data: Any, context: str, lines: Lines) -> None:
    data.set_context(context)
    data.add_lines(lines)


def _covered(measured: Any, file: str) -> FileCovered:
    _, statements, _, missing, _ = measured.analysis2(file)
    return FileCovered(file, len(statements), tuple(missing))
