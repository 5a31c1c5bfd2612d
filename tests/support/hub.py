"""A real file server for tests of downloads: range requests, and every way of breaking off."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Serves one file. `cut_after` closes each connection after so many bytes; `slow` waits between pieces."""

    content: bytes
    cut_after: int | None = None
    ignore_range: bool = False
    status: int | None = None
    slow: float = 0.0
    piece: int = 65536
    ranges: list[str | None] = field(default_factory=list[str | None])
    base: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        if self.status is not None:
            handler.send_error(self.status)
            return
        found = None if self.ignore_range else re.match(r"bytes=(\d+)-", asked or "")
        start = int(found[1]) if found else 0
        body = self.content[start:]
        handler.send_response(206 if found else 200)
        handler.send_header("Content-Length", str(len(body)))
        if found:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        if self.cut_after is not None:
            body = body[: self.cut_after]
        for at in range(0, len(body), self.piece):
            handler.wfile.write(body[at : at + self.piece])
            handler.wfile.flush()
            time.sleep(self.slow)
        handler.close_connection = True


@contextmanager
def serving(server: FileServer) -> Generator[FileServer]:
    """Serve on the loopback for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                server.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server.base = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
