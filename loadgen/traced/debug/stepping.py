"""pdb inside one request of a replay: it stops in the application's code, and can go back.

The debugger sees every line that the request runs outside loadgen and the engine, and counts them. A replay
repeats them, so a line is named by its number: ``back`` lets the terminal start another replay, which runs to
the number of the line before.
"""

from __future__ import annotations

import bdb
import code
import pdb
import sys
from typing import TYPE_CHECKING, Any

from loadgen.traced.call_log import NOT_THE_APPLICATION, innermost
from loadgen.traced.own import Own
from loadgen.traced.settings import FIRST_THREAD

if TYPE_CHECKING:
    from types import FrameType

    from loadgen.traced.debug.channel import Channel
    from loadgen.traced.debug.knowledge import Knowledge

PROMPT = "(loadgen) "
_HIDDEN = (*NOT_THE_APPLICATION, "<frozen", "<string>")
_LISTED = 20
"""Number of calls that ``calls`` lists without an argument."""


def is_hidden(frame: FrameType) -> bool:
    """Whether *frame* belongs to loadgen, the engine or the interpreter."""
    return any(part in frame.f_code.co_filename for part in _HIDDEN)


def application_frame() -> FrameType | None:
    """Return the innermost running frame that is neither loadgen's nor the engine's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_hidden(frame):
        frame = frame.f_back
    return frame


class Terminal(pdb.Pdb):
    """pdb with loadgen's commands, at the other end of *channel*."""

    def __init__(self, plan: dict[str, Any], channel: Channel, seen: Knowledge, seq: int) -> None:
        super().__init__(stdin=channel, stdout=channel, nosigint=True, readrc=False)  # type: ignore[arg-type]
        self.prompt = PROMPT
        self.plan, self.channel, self.seen, self.seq = plan, channel, seen, seq
        self.count = 0
        """Number of the line that runs."""
        self.lines: list[list[int]] = []
        """The numbers of the lines that each running function has run, the innermost last."""
        for file, line, condition in plan.get("breakpoints", ()):
            self.set_break(file, line, cond=condition)

    # ---- what is shown ----------------------------------------------------------------------------------

    def get_stack(self, f: Any, t: Any) -> Any:
        """Leave out the frames of loadgen and the engine."""
        stack, _ = super().get_stack(f, t)
        kept = [one for one in stack if not is_hidden(one[0])]
        return kept, len(kept) - 1

    def _shown(self, arg: str) -> None:
        try:
            value = self._getval(arg)
        except Exception:  # noqa: BLE001 - pdb has printed it
            return
        self.message(self.seen.full(value))

    def _getval(self, arg: str) -> Any:
        return self.seen.evaluate(lambda: super(Terminal, self)._getval(arg))

    def default(self, line: str) -> None:
        """Run a statement."""
        self.seen.evaluate(lambda: super(Terminal, self).default(line))

    def displayhook(self, obj: Any) -> None:
        """Show the value of an expression."""
        if obj is not None:
            self.message(self.seen.full(obj))

    def do_p(self, arg: str) -> None:
        """p expression: print its value; of an external object, what the application has seen of it."""
        self._shown(arg)

    do_pp = do_p

    def do_args(self, arg: str) -> None:
        """args: print the arguments of this function."""
        del arg
        assert self.curframe is not None
        of = self.curframe.f_code
        names = of.co_varnames
        number = of.co_argcount + of.co_kwonlyargcount
        number += bool(of.co_flags & 0x04) + bool(of.co_flags & 0x08)  # *args, **kwargs
        for name in names[:number]:
            if name in self.curframe_locals:
                self.message(f"{name} = {self.seen.full(self.curframe_locals[name])}")

    do_a = do_args

    def do_calls(self, arg: str) -> None:
        """calls [n | all]: list what this request has asked of the outside, and what it got."""
        made = self.seen.calls(FIRST_THREAD + self.seq)
        if arg and arg != "all" and not arg.isdigit():
            self.error("calls takes a number, or all")
            return
        shown = len(made) if arg == "all" else min(len(made), int(arg or _LISTED))
        if not made:
            self.message("this request has not asked anything yet")
        for number, (at, call, got) in enumerate(made[len(made) - shown :], len(made) - shown + 1):
            file, line, function = innermost(at) or ("?", 0, "?")
            where = f"{file.rpartition('/')[2]}:{line} in {function}"
            self.message(f"{number:>4}  {where}\n        {call} = {got}")
        if shown < len(made):
            self.message(f"the last {shown} of {len(made)} calls: calls all")

    # ---- where it goes ----------------------------------------------------------------------------------

    def _again(self, **plan: object) -> None:
        """Let the terminal start another replay."""
        breakpoints = [
            [one.file, one.line, one.cond]
            for one in bdb.Breakpoint.bpbynumber
            if one is not None and not one.temporary
        ]
        kept = {"dap": 0, "breakpoints": breakpoints, "left": bool(self.plan.get("left"))}
        self.channel.end(again={**kept, "request": self.seq, **plan})

    def do_back(self, arg: str) -> None:
        """back [n]: go to the line before this one, in this function or its caller; n: n lines back.

        The replay is started again, and runs to that line.
        """
        if arg and not arg.isdigit():
            self.error("back takes a number of lines")
            return
        self.go_back(int(arg or 1))

    def go_back(self, steps: int) -> None:
        """Start again, and run to the line *steps* before this one."""
        path = [number for function in self.lines for number in function]
        before = len(path) - 1
        if steps > before:
            self.error(f"there are {before} lines before this one" if before else "this is the first line")
            return
        self._again(to=path[-1 - steps])

    def do_run(self, arg: str) -> None:
        """restart: start the replay again, and stop at the first line of the request."""
        del arg
        self._again()

    do_restart = do_run

    def do_quit(self, arg: str) -> None:
        """quit: end the replay."""
        del arg
        self.channel.end(quit=True)

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> None:
        """Quit at the end of the input."""
        self.message("")
        self.do_quit(arg)

    def do_interact(self, arg: str) -> None:
        """interact: a Python console with the names of this frame; an empty input ends it."""
        del arg
        assert self.curframe is not None
        console = code.InteractiveConsole({**self.curframe.f_globals, **self.curframe_locals})
        console.write = self.channel.write  # type: ignore[method-assign,assignment]

        def ask(prompt: str = "") -> str:
            self.channel.write(prompt)
            if not (line := self.channel.readline()):
                raise EOFError
            return line.rstrip("\n")

        console.raw_input = ask  # type: ignore[method-assign]
        self.seen.evaluate(lambda: console.interact(banner="", exitmsg=""))

    def complete_words(self, text: str, line: str, begin: int) -> list[str]:
        """Return the words that *text*, at *begin* of *line*, may become."""
        where = (text, line, begin, begin + len(text))
        try:
            if not line[:begin].strip():
                return sorted({*self.completenames(*where), *(self.completedefault(*where) or ())})
            complete = getattr(self, f"complete_{self.parseline(line)[0]}", self.completedefault)
            return sorted({*(complete(*where) or ())})
        except Exception:  # noqa: BLE001 - it evaluates what was typed, which may be anything
            return []

    def interaction(self, *args: Any, **kwargs: Any) -> None:
        """Talk to the person, and keep nothing of the frame afterwards."""
        self.channel.completer = self.complete_words
        super().interaction(*args, **kwargs)
        self.curframe_locals = {}


class Stepping(Terminal):
    """Stops in one request, which runs in this context."""

    def __init__(
        self, system: Any, plan: dict[str, Any], channel: Channel, seen: Knowledge, what: str
    ) -> None:
        super().__init__(plan, channel, seen, plan["request"])
        self._what = what
        self._begun = False
        self._is_own = Own(plan["packages"])
        self._before: Any = None
        self._hook: Any = None

        def live(function: Any) -> Any:
            return system.disable_for(function, unwrap_args=False)

        stock = live(super().trace_dispatch)
        self.trace_dispatch = stock  # type: ignore[method-assign]
        self._live = stock
        self._start, self._stop = live(self._begin), live(self._end)
        self._here = live(self._break_here)

    def __enter__(self) -> None:
        self._start()

    def __exit__(self, *exc_info: object) -> None:
        self._stop()

    def _begin(self) -> None:
        self._before = sys.gettrace()
        if self._before is not None:  # the points of an explored recording, by Python 3.11's tracing
            self.trace_dispatch = _Both(self._before, self._live)  # type: ignore[method-assign]
        self._hook, sys.breakpointhook = sys.breakpointhook, self._here
        self.reset()
        if not self.plan.get("left"):
            self.message(self._what)
        FOLLOWING[self.seq] = self
        sys.settrace(self.trace_dispatch)

    def _end(self) -> None:
        sys.settrace(self._before)
        del FOLLOWING[self.seq]
        sys.breakpointhook = self._hook
        self.forget()
        self._set_stopinfo(None, None)  # type: ignore[attr-defined]
        self.botframe = None
        if not self.plan.get("left"):
            self.message(
                "the request has ended"
                if self._begun
                else "the request has ended, without a line of the application's own code"
            )

    def _break_here(self, *args: object, **kwargs: object) -> None:
        """Stop at the next line: ``breakpoint()`` in the application's code."""
        del args, kwargs
        if self._before is sys.gettrace() or self.plan.get("to"):
            return  # another thread's, or on the way to a line
        self._begun = True
        self.set_step()

    # ---- every event ------------------------------------------------------------------------------------

    def dispatch_call(self, frame: FrameType, arg: Any) -> Any:
        """Follow every function, because its lines are counted; never stop at a call."""
        del arg
        if self.botframe is None:
            self.botframe = frame.f_back
        if is_hidden(frame):
            return None
        self.lines.append([])
        return self.trace_dispatch

    def dispatch_line(self, frame: FrameType) -> Any:
        """Count the line, and stop at it if it is where to stop."""
        if is_hidden(frame):
            return self.trace_dispatch
        self.count += 1
        if self.lines:
            self.lines[-1].append(self.count)
        if self.channel.interrupted and not self.plan.get("to"):
            self.channel.interrupted = False
            self._begun = True
            self.set_step()
        if not self._begun and not self._begins(frame):
            return self.trace_dispatch
        return super().dispatch_line(frame)

    def _begins(self, frame: FrameType) -> bool:
        to = self.plan.get("to")
        if self.plan.get("left") and not to:
            return False
        self._begun = self.count == to if to else self._is_own(frame.f_code.co_filename)
        if self._begun:
            self.plan["to"] = 0
            self.set_step()
        return self._begun

    def dispatch_return(self, frame: FrameType, arg: Any) -> Any:
        """Forget the function's lines."""
        result = self.trace_dispatch
        if self._begun and not is_hidden(frame):
            result = super().dispatch_return(frame, arg)  # type: ignore[assignment]
            if frame is self.returnframe:
                self._set_stopinfo(None, None)  # type: ignore[attr-defined]
        if self.lines and not is_hidden(frame):
            self.lines.pop()
        return result

    def dispatch_exception(self, frame: FrameType, arg: Any) -> Any:
        """Stop at an exception once stopped."""
        return super().dispatch_exception(frame, arg) if self._begun else self.trace_dispatch

    def stop_here(self, frame: FrameType) -> bool:
        """Whether to stop in *frame*: never in loadgen's or the engine's."""
        return not is_hidden(frame) and bool(super().stop_here(frame))

    def break_here(self, frame: FrameType) -> bool:
        """Whether there is a breakpoint."""
        return not is_hidden(frame) and bool(super().break_here(frame))

    def set_continue(self) -> None:
        """Run to the next breakpoint, and go on counting lines."""
        self._set_stopinfo(self.botframe, None, -1)  # type: ignore[attr-defined]


class _Both:
    """A trace function that also calls the one that was there before."""

    def __init__(self, before: Any, live: Any) -> None:
        self._before, self._live = before, live

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        then = self._before and self._before(frame, event, arg)
        frame.f_trace_lines = True
        follows = event == "opcode" or self._live(frame, event, arg) is not None
        return _Both(then, self._live) if follows else then


class AtDeparture(Terminal):
    """Stops where a request leaves the tape: in the call that it makes there."""

    def go_back(self, steps: int) -> None:
        """Start again, and run to the beginning of this line, or *steps* - 1 lines before it."""
        if self.seq <= 0:
            self.error("back works in requests only, and this is another thread of the application")
        elif not self.lines:  # it was not followed: follow it next time
            self._again(back=steps)
        else:
            super().go_back(steps - 1)


def stop_where_it_left(
    plan: dict[str, Any], channel: Channel, seen: Knowledge, why: str, frame: FrameType, seq: int
) -> None:
    """Stop in *frame*, whose request *seq* leaves the tape."""
    before, stepping = sys.gettrace(), FOLLOWING.get(seq)
    sys.settrace(None)
    terminal = AtDeparture(plan, channel, seen, seq)
    if stepping is not None:
        terminal.lines = stepping.lines
    if back := plan.pop("back", 0):
        terminal.go_back(back)
    who = f"request {seq}" if seq > 0 else "a thread of the application"
    terminal.message(f"{who} leaves the tape here: {why}")
    terminal.reset()
    terminal.interaction(frame, None)
    sys.settrace(before)


FOLLOWING: dict[int, Stepping] = {}
"""The stepping of each followed request that runs."""
