"""The console script. It imports nothing slow before Ctrl-C has a meaning."""

import os
import signal


def main() -> None:
    """Import the command line, which takes a moment, and run it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as nohup wants it
        signal.signal(signal.SIGINT, _leave)
    from loadgen.cli.main import main as run

    run()


def _leave(number: int, frame: object) -> None:
    """End at once: nothing has been started, and an exception could be lost in an import."""
    del number, frame
    os.write(2, b"loadgen: interrupted\n")
    os._exit(130)
