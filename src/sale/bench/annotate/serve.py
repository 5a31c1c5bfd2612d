"""Serving the page on this machine, and on no other."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from sale.bench.annotate.page import create_app
from sale.bench.annotate.session import AnnotationSession
from sale.bench.annotate.verdicts import Judge
from sale.errors import InputError

HOST = "127.0.0.1"
PORT = 8127


async def serve(session: AnnotationSession, judge: Judge, *, port: int = PORT, ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        session: The annotator's work.
        judge: Who says whether an answer is right.
        port: Where; 0 for any that is free.
        ready: Told the address once connections are accepted.

    Raises:
        InputError: The port cannot be had.
    """
    # With the protocol named, the event loop turns Nagle's algorithm off; without, every other answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as error:
            raise InputError(f"port {port} cannot be had: {error}", hint="Give another with --port.") from error
        settings = uvicorn.Config(
            create_app(session, judge),
            log_level="warning",
            access_log=False,
            ws="none",
            http="h11",
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
        ready(f"http://{HOST}:{listener.getsockname()[1]}/")
        await uvicorn.Server(settings).serve(sockets=[listener])
