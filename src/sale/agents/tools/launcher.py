"""The first program inside a sandbox: sets the limits, gives up its rights, becomes or watches the code's process.

It is passed to the interpreter as text (`python -I -S -c`), never imported and never written where the code could
reach it, so it knows nothing of `sale`. Arguments: a file descriptor to report on, the user id to become (or `-`),
`stay` or `become`, then `RLIMIT_NAME=value` each, then `--` and the command.

The report is one byte, written when the limits hold and the command is about to start: without it, whatever came
out on stderr is a failure of the set-up and not of the code. By then the limits hold, and hard limits cannot be raised
again. With `stay` it waits as process 1 of the sandbox: when the command ends so does everything it left behind.
"""

import os
import resource
import sys


def confine(user: str, settings: list[str]) -> None:
    """Become `user` for good, and lower soft and hard limits; a lower hard limit that is there already stays."""
    if user != "-":
        os.setgroups([])
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
    for setting in settings:
        name, _, value = setting.partition("=")
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        soft, _, hard = value.partition(":")
        wanted, ceiling = int(soft), int(hard or soft)
        current = resource.getrlimit(kind)[1]
        if current != resource.RLIM_INFINITY:
            wanted, ceiling = min(wanted, current), min(ceiling, current)
        resource.setrlimit(kind, (wanted, ceiling))


def become(report: int, user: str, settings: list[str], command: list[str]) -> None:
    """Turn into the command. Returns never."""
    try:
        confine(user, settings)
        os.write(report, b"1")
        os.close(report)
        os.execv(command[0], command)  # noqa: S606 - the point of this program
    except BaseException as error:  # noqa: BLE001 - a forked child must not run the parent's code after a failure
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(125)


def main() -> None:
    """Read the arguments and do it."""
    split = sys.argv.index("--")
    report, user, mode, *settings = sys.argv[1:split]
    command = sys.argv[split + 1 :]
    if mode == "become":
        become(int(report), user, settings, command)
    child = os.fork()
    if child == 0:
        become(int(report), user, settings, command)
    # Nothing of the run's own streams stays open here, where a process of the same user might look for it.
    os.close(int(report))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
