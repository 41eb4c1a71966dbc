"""The folder of a shrunk case: everything needed to reproduce it, and to attach to a bug report.

::

    shrunk/<time>/
        case.py         the scenario with the remaining requests
        README.md       what fails, how often, the commands to reproduce it, and the versions
        shrunk.json     the same for a program
        example/        the files of one failure; see loadgen.hunt.trial
        server/         for a fault that may be the engine's: the application's code as it is now
"""

from __future__ import annotations

import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from loadgen.core.option import command
from loadgen.core.proportion import interval
from loadgen.core.spec import Load, ScenarioTraffic
from loadgen.hunt.scenario_text import NAME, scenario_text, size
from loadgen.hunt.trial import RUN, concluded
from loadgen.store.files import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.core.spec import RunSpec, VerifySpec
    from loadgen.core.verdict import Cause
    from loadgen.hunt.failing import Failing
    from loadgen.hunt.shrink import Shrunk
    from loadgen.store.manifest import Manifest

FORMAT = "loadgen-shrunk/1"
EXAMPLE = "example"
SERVER = "server"
_ENGINES = frozenset({"engine", "unknown"})
_README = """\
# {told}

{size_before} were shrunk to {size_after}. {often}

```sh
{commands}
```

{cause}
| | |
| --- | --- |
{versions}

- `case.py`: the requests.
- `example/run`: one failure as it was recorded, with its verdict; `loadgen report example/run` shows it.
{server}"""


def attach(
    folder: Path,
    failing: Failing,
    shrunk: Shrunk,
    manifest: Manifest,
    spec: RunSpec,
    verify: VerifySpec,
) -> dict[str, Any]:
    """Write the folder's files beside ``example/``; return the content of ``shrunk.json``."""
    verdict = concluded(folder / EXAMPLE / RUN)
    cause = verdict.causes[0] if verdict and verdict.causes else None
    reasons = verdict.reasons if verdict else ()
    fault = cause.fault.value if cause else reasons[0].fault if reasons else "unknown"
    copied = _copy(manifest, spec.target, folder / SERVER) if fault in _ENGINES else ()
    where = copied or tuple(str(Path(one).resolve()) if Path(one).is_file() else one for one in spec.target)
    workload = replace(
        spec,
        target=where,
        traffic=ScenarioTraffic(scenario=f"case.py:{NAME}"),
        load=Load(timeout=spec.load.timeout),
    )
    commands = [command("record", workload.public), command("verify", verify)]
    often = how_often(shrunk)
    docstring = f"{failing.told}\n\n{often}\n\n    " + "\n    ".join(commands) + "\n"
    (folder / "case.py").write_text(scenario_text(shrunk.workload, _quoted(docstring)), encoding="utf-8")
    before, after = size(shrunk.original), size(shrunk.workload)
    (folder / "README.md").write_text(
        _README.format(
            told=failing.told,
            size_before=before[0].upper() + before[1:],
            size_after=after,
            often=often,
            commands="\n".join(commands),
            cause=_told(cause),
            versions="\n".join(f"| {name} | {value} |" for name, value in _versions(manifest).items()),
            server=f"- `{SERVER}/`: the application's Python files.\n" if copied else "",
        ),
        encoding="utf-8",
    )
    content = {
        "format": FORMAT,
        "path": str(folder),
        "failure": failing.told,
        "fault": fault,
        "why": cause.why if cause else "",
        "before": {"requests": len(shrunk.original.steps), "users": len(shrunk.original.users)},
        "after": {"requests": len(shrunk.workload.steps), "users": len(shrunk.workload.users)},
        "complete": shrunk.complete,
        **asdict(shrunk.measured),
        "interval": interval(shrunk.measured.failures, shrunk.measured.trials),
        "all_trials": shrunk.trials,
        "candidates": shrunk.candidates,
        "commands": commands,
    }
    write_json(folder / "shrunk.json", content)
    return content


def how_often(shrunk: Shrunk) -> str:
    """Say how often the case failed, with the confidence interval."""
    failures, trials = shrunk.measured.failures, shrunk.measured.trials
    if not trials:
        return "How often it fails was not measured: it was interrupted before."
    low, high = interval(failures, trials)
    return (
        f"It failed in {failures} of {trials} trials: at a rate of {low:.0%} to {high:.0%} (95 % confidence)."
    )


def _quoted(text: str) -> str:
    """Escape *text* for a triple-quoted string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _told(cause: Cause | None) -> str:
    if cause is None:
        return ""
    return f"At fault: **{cause.fault}**. {cause.headline}: {cause.why}. {cause.advice}\n"


def _versions(manifest: Manifest) -> dict[str, str]:
    shown = {name: manifest.result.versions.get(name, "") for name in ("loadgen", "engine", "platform")}
    return {**shown, "python": platform.python_version()}


def _copy(manifest: Manifest, target: Sequence[str], into: Path) -> tuple[str, ...]:
    """Copy the application's code; return the target's name there; empty if it is not a single script."""
    if len(target) != 1 or not target[0].endswith(".py"):
        return ()
    script = Path(target[0]).resolve()
    for name in manifest.sources:
        path = Path(name)
        if path.is_file() and path.is_relative_to(script.parent):
            copy = into / path.relative_to(script.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return (f"{into.name}/{script.name}",) if (into / script.name).exists() else ()
