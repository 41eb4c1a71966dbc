"""A module that starts a thread while it is imported, as some libraries do."""

import threading
import time

TICKS = {"count": 0}


def _tick() -> None:
    while True:
        time.sleep(0.003)
        TICKS["count"] += 1


threading.Thread(target=_tick, daemon=True).start()
