"""Stands for one command of `sale`: has a process forked, passes signals on to it and ends as it does.

python -I -S preloaded_launcher.py SOCKET ARGUMENT …
"""

import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main() -> None:
    """Ask for the process, and wait for its end."""
    address, *arguments = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        ignored = [number for number in PASSED_ON if signal.getsignal(number) is signal.SIG_IGN]
        mask = os.umask(0o77)
        os.umask(mask)
        wish = {
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": os.getcwd(),  # noqa: PTH109 - one module less to load
            "umask": mask,
            "ignored": ignored,
        }
        text = json.dumps(wish).encode()
        socket.send_fds(line, [len(text).to_bytes(8, "big")], [0, 1, 2])
        line.sendall(text)

        def pass_on(number: int, _frame: object) -> None:
            line.sendall(bytes([number]))

        for number in PASSED_ON:
            if number not in ignored:
                signal.signal(number, pass_on)
        for stream in (0, 1, 2):  # whoever reads is to see their end with the command's
            os.close(stream)
        said = b""
        while len(said) < 4 and (more := line.recv(4 - len(said))):
            said += more
    status = int.from_bytes(said, "big", signed=True) if len(said) == 4 else 70
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


main()
