"""``loadgen report`` and ``loadgen export``: a run as a page for people, and as files for other tools."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen import __version__
from loadgen.core.option import shell
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from loadgen.core.masking import Rules
    from loadgen.store.manifest import Manifest
    from loadgen.store.run_folder import RunFolder

Masks = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="RULE",
        help="Mask a field: header:NAME, json:PATH (json:$.password, json:$..token) or query:NAME. "
        "Authorization and cookies are always masked. May be repeated.",
        show_default=False,
    ),
]
Number = Annotated[
    int | None,
    typer.Option(
        "--verification",
        min=1,
        metavar="N",
        help="Number of the verification of the run. [default: the latest]",
        show_default=False,
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write the verdict as JUnit XML.", show_default=False),
]
Summary = Annotated[
    Path | None,
    typer.Option(
        "--summary",
        metavar="FILE",
        help='Append the verdict as Markdown, for a CI job page: --summary "$GITHUB_STEP_SUMMARY".',
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    app.command(short_help="Write one HTML page about a run.")(report)
    app.command(short_help="Write a run as HAR, bundle, JUnit XML or Markdown.")(export)


def report(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run. Default: the latest one in runs/.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write. [default: report.html in the run folder]",
            show_default=False,
        ),
    ] = None,
    verification: Number = None,
    mask: Masks = None,
) -> None:
    """Write one self-contained HTML file about a run and its latest verification, and print its path."""
    from loadgen.cli.output import say
    from loadgen.core.masking import Masker, parse
    from loadgen.report.evidence import gather
    from loadgen.report.page import render
    from loadgen.store.run_folder import RunFolder
    from loadgen.store.verification import find_verification

    masker = Masker(parse(mask or ()))
    folder, manifest = RunFolder.open(run)
    found = find_verification(folder.path, verification)
    path = output or folder.path / "report.html"
    with replacing(path) as file:
        file.write(render(gather(folder, manifest, found, masker), masker, version=__version__))
    say(str(path))


def export(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run. Default: the latest one in runs/.", show_default=False),
    ] = None,
    har: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a HAR file, for browsers' developer tools.", show_default=False
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a .tar.gz to verify or read elsewhere.", show_default=False),
    ] = None,
    junit: Junit = None,
    summary: Summary = None,
    verification: Number = None,
    mask: Masks = None,
    keep_secrets: Annotated[
        bool,
        typer.Option(
            "--keep-secrets", help="Leave secrets in the bundle: without them, it cannot be verified."
        ),
    ] = False,
) -> None:
    """Write a run in formats that other tools read, with secrets masked, and print the paths of the files.

    --har contains the recorded answers, or with --verification the replayed ones.
    """
    from loadgen.cli.output import say
    from loadgen.core.masking import parse
    from loadgen.store.run_folder import RunFolder

    rules = parse(mask or ())
    wanted = [path for path in (har, bundle, junit, summary) if path is not None]
    if not wanted:
        raise UsageError("nothing to export", advice="Give --har, --bundle, --junit or --summary FILE.")
    folder, manifest = RunFolder.open(run)
    if har is not None:
        _har(folder, har, verification, rules)
    if bundle is not None:
        _bundle(folder, manifest, bundle, rules, keep_secrets=keep_secrets)
    if junit is not None or summary is not None:
        write_verdict(folder, manifest, verification, junit, summary, mask or ())
    say("\n".join(map(str, wanted)))


def write_verdict(
    run: RunFolder,
    manifest: Manifest,
    number: int | None,
    junit: Path | None,
    summary: Path | None,
    mask: Iterable[str] = (),
) -> None:
    """Write the result of verification *number*, by default the latest, for CI.

    Raises:
        UsageError: there is no such verification, or a file cannot be written.
    """
    from loadgen.core.masking import Masker, parse
    from loadgen.core.verdict import Judgement
    from loadgen.report.evidence import learn
    from loadgen.report.junit import junit as to_xml
    from loadgen.report.markdown import summary as to_markdown
    from loadgen.store.verification import find_verification

    found = find_verification(run.path, number)
    if found is None:
        raise UsageError(
            f"{run.path} was never verified", advice=f"Verify it first: {shell('verify', run.path)}"
        )
    masker = Masker(parse(mask))
    if found.verdict is None or found.verdict.judgement is not Judgement.IDENTICAL:
        learn(run, found, masker)
    if junit is not None:
        with replacing(junit) as file:
            file.write(to_xml(manifest, found, masker))
    if summary is not None:
        append(summary, to_markdown(run, manifest, found, masker))


def _har(folder: RunFolder, path: Path, verification: int | None, rules: Rules) -> None:
    from loadgen.core.masking import Masker
    from loadgen.report.har import har as render
    from loadgen.store.run_folder import read_transcript
    from loadgen.store.verification import find_verification

    transcript, bodies = folder.transcript, folder.bodies
    if verification is not None and (found := find_verification(folder.path, verification)):
        transcript, bodies = found.path / "transcript.jsonl", found.path / "bodies"
    with replacing(path) as file, read_transcript(transcript, bodies) as events:
        for piece in render(events, Masker(rules), version=__version__):
            file.write(piece.encode("utf-8", "replace"))


def _bundle(folder: RunFolder, manifest: Manifest, path: Path, rules: Rules, *, keep_secrets: bool) -> None:
    from loadgen.report.bundle import bundle as write

    with replacing(path) as file:
        made = write(folder, manifest, rules, file, keep_secrets=keep_secrets)
    if not made.verifiable:
        what = ", ".join(f"{name} ({count})" for name, count in sorted(made.masked.items()))
        print(
            f"loadgen: masked in {path}: {what}. It can be read, not verified: its requests are not those "
            "that were recorded, and the recording, which holds them, was left out.\n"
            "  For someone you trust with the secrets: --keep-secrets",
            file=sys.stderr,
        )


def check(*replaced: Path | None, appended: Path | None = None) -> None:
    """Refuse files that cannot be written, before anything is started.

    Raises:
        UsageError: one cannot be written.
    """
    for path in (*replaced, appended):
        if path is None:
            continue
        place = path if path is appended and path.exists() else path.parent
        refused = (
            (path.is_dir(), errno.EISDIR),
            (not path.parent.is_dir(), errno.ENOENT),
            (not os.access(place, os.W_OK), errno.EACCES),
        )
        for is_so, code in refused:
            if is_so:
                raise _unwritable(path, OSError(code, os.strerror(code)))


def append(path: Path, text: str) -> None:
    """Append *text* to the file at *path*, given by the user.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open *path*, given by the user, for writing; it is replaced when all is written, or not changed.

    Raises:
        UsageError: it cannot be written.
    """
    from loadgen.store import files

    try:
        with files.replacing(path) as file:
            yield file
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror}", advice="Give another file.")
