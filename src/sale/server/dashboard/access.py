"""Access to the dashboard: logins, and checks that a form is our own.

One password, no accounts. A visitor carries a signed cookie with a random id; a login is the same cookie with the time
at which it was given. Its key comes from the password, so several processes agree, a restart ends no login, and a new
password ends all of them. Each form carries a token that belongs to the visitor's id, and browsers say where a form was
sent from.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from sale.server.client_address import customer_of, is_direct
from sale.server.dashboard.settings import DashboardSettings

COOKIE = "sale_dashboard"
"""The beginning of the cookie's name."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FREE_TRIES = 5
"""Wrong passwords from one address before it has to wait."""
FIRST_WAIT = 2.0
MAX_WAIT_SECONDS = 900.0
ADDRESSES = 10_000
"""Addresses that are remembered; the oldest go first."""
DAY = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """The visitor of a page."""

    id: str
    admitted: bool
    """May see pages and send forms."""
    new: bool
    """Has no cookie of ours yet."""


class Access:
    """Passwords, cookies and tokens."""

    def __init__(self, settings: DashboardSettings, clock: Callable[[], float] = time.time) -> None:
        self._password = settings.password
        self._seconds = settings.days * DAY
        self._clock = clock
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()
        # Without a password there is nothing to keep: tokens then rest on the cookie being unknown to other sites.
        self._key = hashlib.scrypt((settings.password or "").encode(), salt=b"sale dashboard", n=2**14, r=8, p=1)

    @property
    def guarded(self) -> bool:
        """True where a password is set."""
        return self._password is not None

    def visitor(self, request: HTTPConnection) -> Visitor:
        """Return the visitor that sent this, by the cookie; a new one where there is none that we made."""
        own, at, mark = ([*request.cookies.get(cookie_name(request), "").split("."), "", "", ""])[:3]
        if not own or not hmac.compare_digest(mark.encode(), self._mark(own, at).encode()):
            return Visitor(id=secrets.token_urlsafe(18), admitted=not self.guarded, new=True)
        current = at.isdecimal() and 0 <= self._clock() - int(at) < self._seconds
        return Visitor(id=own, admitted=current or not self.guarded, new=False)

    def welcome(self, request: HTTPConnection, response: Response, visitor: Visitor, *, login: bool = False) -> None:
        """Give the cookie; with `login` under a new id, so that one known from before is worth nothing."""
        own, at = (secrets.token_urlsafe(18), str(int(self._clock()))) if login else (visitor.id, "")
        response.set_cookie(
            cookie_name(request),
            f"{own}.{at}.{self._mark(own, at)}",
            max_age=self._seconds if login else None,
            path=f"{request.scope.get('root_path', '')}/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )

    def forget(self, request: HTTPConnection, response: Response) -> None:
        """Log out."""
        path = f"{request.scope.get('root_path', '')}/"
        response.delete_cookie(cookie_name(request), path=path, httponly=True, samesite="lax")

    def token(self, visitor: Visitor) -> str:
        """Return the token that every form of this visitor carries."""
        return self._mark(visitor.id, "form")

    def ours(self, request: HTTPConnection, visitor: Visitor, token: str) -> bool:
        """Return whether a form was sent from a page that this visitor was shown."""
        origin = request.headers.get("origin")
        if origin is not None and _netloc(origin) != request.headers.get("host"):
            return False
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        return not visitor.new and hmac.compare_digest(token.encode(), self.token(visitor).encode())

    def allowed_host(self, request: HTTPConnection) -> bool:
        """Without a password only loopback names are answered to: another name is a page elsewhere that points here."""
        return self.guarded or _hostname(request.headers.get("host", "")) in LOOPBACK

    def allowed_way(self, request: HTTPConnection) -> bool:
        """Without a password only programs of this machine are answered, and no request through a proxy."""
        return self.guarded or is_direct(request.scope)

    def wait(self, address: str) -> float:
        """Seconds until this address may try a password again; 0 for at once."""
        wrong, last = self._tries.get(customer_of(address), (0, 0.0))
        if wrong < FREE_TRIES:
            return 0.0
        pause = min(MAX_WAIT_SECONDS, FIRST_WAIT * 2.0 ** min(wrong - FREE_TRIES, 20))
        return max(0.0, last + pause - self._clock())

    def admits(self, address: str, password: str) -> bool:
        """Return whether this is the password; wrong ones count against the address, or its network of 64 bits."""
        address = customer_of(address)
        good = self._password is not None and hmac.compare_digest(_digest(password), _digest(self._password))
        if good:
            self._tries.pop(address, None)
            return True
        wrong, last = self._tries.get(address, (0, 0.0))
        long_ago = self._clock() - last > MAX_WAIT_SECONDS
        self._tries[address] = (1 if long_ago else wrong + 1, self._clock())
        self._tries.move_to_end(address)
        while len(self._tries) > ADDRESSES:
            self._tries.popitem(last=False)
        return False

    def _mark(self, own: str, at: str) -> str:
        return hmac.new(self._key, f"{own}.{at}".encode(), hashlib.sha256).hexdigest()


def cookie_name(request: HTTPConnection) -> str:
    """Return the cookie's name at the host and port that were asked: browsers share cookies between ports."""
    host = request.headers.get("host", "").lower()
    return f"{COOKIE}_{hashlib.sha256(host.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _netloc(origin: str) -> str | None:
    """The host and port of an origin; `None` where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _hostname(host: str) -> str | None:
    """The name in a `Host`; `None` where it is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _digest(text: str) -> bytes:
    """Of one length, so that comparing takes one time."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
