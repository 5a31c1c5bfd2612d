"""The program that runs an answer against its tests, inside a sandbox. Given to it as text, never imported.

Standard input: JSON with `secret`, and `parts`: pairs of a name and Python source, run in order in one module, the
tests last. Standard output: the secret if every part came to its end, else at most JSON with `error`, `part`, `line`.

Answer and tests share a process, as tests call the answer's functions, so an answer could try to look as if it had
passed. Only who says the secret has passed, and it is kept from the answer:

- Answer and tests run in a thread that is started straight from C, so walking up the stack ends at their own frames.
- The main thread holds the secret nowhere but on its value stack, asleep in one C call, which returns what came first:
  a zero that only the end of the tests sends, or word that they are over. No Python code runs in between.
- An audit hook, which Python code cannot remove, ends the process on the ways around that: objects from the garbage
  collector, other threads' frames, tracing, raw memory, native code. Other processes cannot open this one.
- Its standard streams lead nowhere, and what it did to the built-ins is undone before the tests.

What an answer can still do in the tests' own process: return objects that claim to equal anything, read the frames of
the test that calls it, change library modules the tests use, and break the interpreter itself (handmade bytecode). So
a pass means "did what the tests look at", and a task that pays for cheating needs tests that compare plain values.
"""

import _thread
import builtins
import contextlib
import functools
import json
import operator
import os
import queue
import sys
import types
import weakref
from collections.abc import Callable

_STACK_BYTES = (64 * 2**20, 0)
"""Room for deep recursion; address space only, until it is used. Where that is short, the usual size."""

_TAMPERING_STATUS = 86
_PR_SET_DUMPABLE = 4

_FORBIDDEN = (
    "ctypes.",
    "gc.get_",
    "sys._current_",
    "sys.monitoring",
    "sys.remote",
    "sys.setprofile",
    "sys.settrace",
)
"""Prefixes of the names of audit events that no answer to a programming task needs."""


def close_to_others() -> None:
    """Keep other processes of the same user out of this one's memory, where this Python can say so."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # noqa: PLC0415 - some builds lack it

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def forbid(report: int) -> None:
    """From here on, whoever looks for the secret by force ends the process.

    Everything the hook uses is bound to it: names of this file and built-ins are within the answer's reach.
    """
    write, leave, is_a, text, forbidden = os.write, os._exit, isinstance, str, _FORBIDDEN
    trusted = (sys.base_prefix + os.sep, sys.base_exec_prefix + os.sep)

    def hook(event: str, args: tuple[object, ...]) -> None:
        path = args[1] if event == "import" else None
        if event.startswith(forbidden) or (is_a(path, text) and not path.startswith(trusted)):
            write(report, b'{"error": "tampering: %s", "part": "answer", "line": null}' % event.encode())
            leave(_TAMPERING_STATUS)

    sys.addaudithook(hook)


def complain(report: int, error: BaseException, names: tuple[str, ...]) -> None:
    """Report an exception, and the innermost line of the last part (the tests, if it got that far) it came through."""
    lines: dict[str, int | None] = {}
    if isinstance(error, SyntaxError) and error.filename in names:
        lines[error.filename] = error.lineno
    trace = error.__traceback__
    while trace is not None:
        lines[trace.tb_frame.f_code.co_filename] = trace.tb_lineno
        trace = trace.tb_next
    part = next((name for name in reversed(names) if name in lines), None)
    said = error.msg if isinstance(error, SyntaxError) else str(error)  # without the place, which is told apart
    text = f"{type(error).__name__}: {said[:300]}".removesuffix(": ")
    record = {"error": text, "part": part, "line": None if part is None else lines[part]}
    os.write(report, json.dumps(record).encode())


def compiled(parts: list[tuple[str, str]], report: int) -> list[types.CodeType]:
    """All parts as code; ends the process where one is not Python."""
    try:
        return [compile(source, name, "exec", dont_inherit=True) for name, source in parts]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        complain(report, error, tuple(name for name, _ in parts))
        os._exit(1)


def start(codes: list[types.CodeType], put: Callable[[object], None]) -> object:
    """Run the codes in a thread. A zero is put if it comes to their end; later, or instead, the reference returned."""
    module = types.ModuleType("answer")
    sys.modules["answer"] = sys.modules["__main__"] = module
    runs = [functools.partial(exec, code, module.__dict__) for code in codes]
    restore = functools.partial(builtins.__dict__.update, dict(builtins.__dict__))
    end = functools.partial(put, 0)
    steps = map(operator.methodcaller("__call__"), iter([*runs[:-1], restore, *runs[-1:], end]))
    for size in _STACK_BYTES:
        _thread.stack_size(size)
        with contextlib.suppress(RuntimeError):
            _thread.start_new_thread(any, (steps,))
            break
    # Only the steps hold `end`: it goes with the thread, however that ends.
    return weakref.ref(end, put)


def main() -> None:
    """Do it."""
    keep = sys.modules["__main__"]
    task = json.loads(sys.stdin.buffer.read())
    parts: list[tuple[str, str]] = [(name, source) for name, source in task.pop("parts")]
    names = tuple(name for name, _ in parts)
    report, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    codes = compiled(parts, report)
    del parts

    def unraisable(problem: "sys.UnraisableHookArgs") -> None:
        if (problem.object is None or problem.object is any) and problem.exc_value is not None:
            complain(report, problem.exc_value, names)

    sys.unraisablehook = unraisable
    close_to_others()
    forbid(report)
    verdicts: queue.SimpleQueue[object] = queue.SimpleQueue()
    write, leave, length = os.write, os._exit, len(task["secret"])
    task |= {"first": verdicts.get, "over": start(codes, verdicts.put)}
    codes.clear()
    del verdicts
    # All three go from the task to the value stack, out of reach of whoever gets hold of this frame; then `first`
    # sleeps; then the whole secret is written, or nothing.
    _ = task.pop("over"), write(report, task.pop("secret").encode()[length * (task.pop("first")() != 0) :])
    leave(0)
    del keep


if __name__ == "__main__":
    main()
