"""The program that keeps one interpreter alive in a sandbox: runs one piece of code after the other in one namespace.

It is written into the workspace as text and run there, never imported, so it knows nothing of `sale`. Each line of
standard input is JSON: the code, a mark, and the processor seconds it may take. When the code is over, both outputs end
with the mark, and the exit status in standard output. As in a notebook, the value of a last expression is shown.
"""

import ast
import contextlib
import json
import linecache
import os
import pathlib
import resource
import sys
import traceback
import types


def limit(seconds: int) -> None:
    """Give the process so many more seconds of the processor."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def run(code: str, name: str, space: dict[str, object]) -> int:
    """Run code in a namespace; the exit status."""
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    try:
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), space)  # noqa: S102  the point of this program
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), space)  # noqa: S307
            if value is not None:
                print(repr(value))  # noqa: T201
    except SystemExit as error:
        return int(error.code) % 256 if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:  # noqa: BLE001  whatever it raises is shown
        trace = None if isinstance(error, SyntaxError) and error.filename == name else error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
        return 1
    return 0


def main() -> None:
    """Until standard input ends."""
    orders = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.path[0] = str(pathlib.Path.cwd())
    sys.argv = [""]
    # What the code does to its streams must not keep the mark from coming out.
    streams = (sys.stdout, sys.stderr)
    for number, line in enumerate(orders, start=1):
        order = json.loads(line)
        limit(order["seconds"])
        status = run(order["code"], f"<call {number}>", module.__dict__)
        for stream, end in zip(streams, (f"{order['mark']} {status}\n", order["mark"] + "\n"), strict=True):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
            os.write(1 if stream is streams[0] else 2, end.encode())


if __name__ == "__main__":
    main()
