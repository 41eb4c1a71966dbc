"""Describes the Python that runs it. Other interpreters run this file, so it imports only their library.

Any Python 3 can run it: whether the engine supports it is decided by whoever asked.
"""

import sys

if __name__ == "__main__":
    del sys.path[0]  # the folder of this file, whose modules are not part of the environment

import json
import os
import sysconfig

_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
_INTERPRETER = ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix", "executable")


def describe() -> "dict[str, object]":
    """Return the fields of :class:`loadgen.engine.interpreter.Interpreter`."""
    return {
        "executable": sys.executable,
        "version": sys.version,
        "release": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "suffix": sysconfig.get_config_var("EXT_SUFFIX") or "",
        "path": [os.path.abspath(entry) for entry in sys.path],  # noqa: PTH100 - no link is followed
        "libraries": {name: sysconfig.get_path(name) for name in _LIBRARIES},
        "paths": {name: os.path.abspath(getattr(sys, name)) for name in _INTERPRETER},  # noqa: PTH100
    }


if __name__ == "__main__":
    print(json.dumps(describe()))  # noqa: T201 - its result
