"""Prints results: the one place that writes to standard output."""

from __future__ import annotations

import os
import sys

import typer

BROKEN_PIPE = 141


def say(result: str) -> None:
    """Print a command's result; a closed pipe is no error (``loadgen verify --json | head``)."""
    try:
        print(result, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
