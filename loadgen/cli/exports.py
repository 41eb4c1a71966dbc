"""``loadgen report`` and ``loadgen export``: what a run looks like to people and to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadgen import __version__
from loadgen.errors import UsageError

Masks = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="RULE",
        help="Mask a field: header:NAME, json:PATH (json:$.password, json:$..token) or query:NAME; may be repeated. "
        "Authorization and cookies always are.",
        show_default=False,
    ),
]
Number = Annotated[
    int | None,
    typer.Option("--verification", min=1, metavar="N", help="Which one. [default: the latest]", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command()(report)


def report(
    run: Annotated[
        Path | None, typer.Argument(help="Folder of a run. Default: the latest one in runs/.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write. [default: report.html in the run]", show_default=False),
    ] = None,
    verification: Number = None,
    mask: Masks = None,
) -> None:
    """Write one HTML file about a run and its latest verification; it needs no network. Prints its path."""
    from loadgen.core.masking import Masker, parse
    from loadgen.report.evidence import find_verification, gather
    from loadgen.report.page import render
    from loadgen.run_folder import RunFolder

    masker = Masker(parse(mask or ()))
    folder, manifest = RunFolder.open(run)
    found = find_verification(folder, verification)
    page = render(gather(folder, manifest, found, masker), masker, version=__version__)
    print(write(output or folder.path / "report.html", page))


def write(path: Path, content: bytes) -> Path:
    """Write *content* to *path*, whole or not at all.

    Raises:
        UsageError: it cannot be written there.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", advice="Name another file.") from error
    return path
