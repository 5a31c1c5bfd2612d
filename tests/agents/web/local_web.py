"""A small web on this machine, with good and hostile pages, served over real sockets from threads.

with LocalWeb() as site:
    site.page("/a", "<html>…</html>")
    web = site.web()                       # reaches it under any `.example` name, and nothing else
    await web.get(site.url("/a"))
    assert site.asked == ["/a"]
"""

from __future__ import annotations

import contextlib
import gzip
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sale.agents.tools.web.addresses import AllowedHosts, Resolver
from sale.agents.tools.web.exchange import FetchLimits
from sale.agents.tools.web.fetching import WebFetcher

CERTIFICATE = Path(__file__).parent / "data" / "self_signed.pem"
"""Of `secure.example`, signed by nobody but itself."""
HERE = "127.0.0.1"

Send = Callable[[bytes], None]
Reply = Callable[["Asked", Send], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


def whole(body: bytes, *, status: str = "200 OK", **headers: str) -> Reply:
    """A complete response. Headers are named with underscores."""
    lines = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)

    def reply(_: Asked, send: Send) -> None:
        send(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)

    return reply


def redirect(to: str, status: str = "302 Found") -> Reply:
    return whole(b"", status=status, Location=to)


def gzip_bomb(megabytes: int) -> Reply:
    packed = gzip.compress(b"<p>a</p>" * (megabytes * 2**17), 9)
    return whole(packed, Content_Type="text/html", Content_Encoding="gzip")


def endless(_: Asked, send: Send) -> None:
    send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    while True:
        send(b"<p>more</p>" * 1000)


def dripping(_: Asked, send: Send) -> None:
    send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n")
    while True:
        send(b"x")
        time.sleep(0.05)


def silent(_: Asked, send: Send) -> None:
    time.sleep(30)


def huge_headers(_: Asked, send: Send) -> None:
    send(b"HTTP/1.1 200 OK\r\n")
    for number in range(20000):
        send(b"X-%d: %s\r\n" % (number, b"y" * 1000))
    send(b"\r\nok")


def endless_header(_: Asked, send: Send) -> None:
    send(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        send(b"y" * 10000)


def endless_hints(_: Asked, send: Send) -> None:
    while True:
        send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")


def no_http(_: Asked, send: Send) -> None:
    send(b"220 mail.example ESMTP ready\r\n")


@dataclass
class LocalWeb:
    """The server; a context manager."""

    tls: bool = False
    replies: dict[str, Reply] = field(default_factory=dict[str, Reply])
    requests: list[Asked] = field(default_factory=list[Asked])
    connections: int = 0
    somebody_asked: threading.Event = field(default_factory=threading.Event)
    _server: socketserver.ThreadingTCPServer | None = None

    def __enter__(self) -> Self:
        site = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                site.connections += 1
                with contextlib.suppress(OSError):
                    site._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        self._server = Server((HERE, 0), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.server_address[1]

    @property
    def asked(self) -> list[str]:
        """Paths, in order."""
        return [one.path for one in self.requests]

    def url(self, path: str, host: str = "news.example") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def page(self, path: str, body: str | bytes, content_type: str = "text/html; charset=utf-8") -> str:
        """Serve a page; its address."""
        self.replies[path] = whole(body.encode() if isinstance(body, str) else body, Content_Type=content_type)
        return self.url(path)

    def reply(self, path: str, reply: Reply) -> str:
        """Serve anything; its address."""
        self.replies[path] = reply
        return self.url(path)

    def web(self, *, resolve: Resolver | None = None, reach: AllowedHosts | None = None, **options: Any) -> WebFetcher:
        """The web as an agent would reach it: every `.example` name is here, which only this reach allows."""
        allowed = reach or AllowedHosts(ports=frozenset({self.port}), networks=(ip_network(f"{HERE}/32"),))
        chosen: dict[str, Any] = {"seconds": 10.0, "body_bytes": 2**20, **options.pop("bounds", {})}
        bounds = FetchLimits(**chosen)
        return WebFetcher(reach=allowed, bounds=bounds, resolve=resolve or everywhere_here, **options)

    def _serve(self, connection: Any) -> None:
        asked = _read(connection)
        if asked is None:
            return
        self.requests.append(asked)
        self.somebody_asked.set()
        found = self.replies.get(asked.path) or self.replies.get(asked.path.partition("?")[0])
        reply = found or whole(b"no such page", status="404 Not Found", Content_Type="text/plain")
        reply(asked, connection.sendall)


async def everywhere_here(host: str, port: int) -> Sequence[str]:
    return [HERE]


def _read(connection: Any) -> Asked | None:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    method, path, _ = first.split(" ")
    return Asked(method=method, path=path, headers=headers, body=body)


def pdf(pages: Sequence[str], title: str = "A document") -> bytes:
    """A PDF with a line of text on each page."""
    streams = [b"BT /F1 18 Tf 40 700 Td (%s) Tj ET" % text.encode("latin-1") for text in pages]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, stream in enumerate(streams):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    objects.append(b"<< /Title (%s) >>" % title.encode("latin-1"))
    document, places = bytearray(b"%PDF-1.4\n"), list[int]()
    for number, content in enumerate(objects, start=1):
        places.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size, start = len(objects) + 1, len(document)
    document += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    document += b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\n" % (size, size - 1)
    document += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(document)
