"""Alarms as a POST to an address of the user's: a JSON document when one begins, and another when it ends.

They are sent one after the other, beside all requests. A document holds figures and names of agents, and no text of a
task. The log names neither the address nor its headers, which may hold a key.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import httpx2
import orjson

from sale import config
from sale.config.proxies import proxy_for
from sale.errors import SaleError
from sale.server.shadow_report import ALARMS, ShadowReport

SECONDS: Final = 10.0
"""Seconds one try may take."""
WAITS: Final = (2.0, 10.0, 60.0)
"""Seconds between one try and the next. After the last one it is given up."""
END_SECONDS: Final = 2.0
"""Seconds that alarms under way have when the server ends."""
MAX_WAITING: Final = 100
"""Alarms that wait while the address does not answer; those beyond are left to the log."""
LOG = logging.getLogger("sale.server")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmNotice:
    """An alarm that has begun, or ended."""

    kind: str
    """`cost` or `quality`."""
    days: float
    """The days before now that the figures are about."""
    since: datetime
    """When it was noticed."""
    until: datetime | None
    """When it was over; `None` where it begins."""
    report: ShadowReport | None
    """The figures; `None` where it ended because the shadow did."""

    @property
    def state(self) -> str:
        """`begins` or `ends`."""
        return "begins" if self.until is None else "ends"

    def encode(self) -> bytes:
        """Return it as JSON."""
        figures = None if self.report is None else asdict(self.report)
        return orjson.dumps(
            {
                "alarm": self.kind,
                "state": self.state,
                "what": ALARMS[self.kind],
                "since": self.since,
                "until": self.until,
                "days": self.days,
                "figures": figures,
            }
        )


class AlarmSender:
    """Sends alarms to the address in the settings, if there is one. It belongs to one event loop."""

    def __init__(
        self, settings: Callable[[], config.ServerSettings], *, seconds: float = SECONDS, waits: Sequence[float] = WAITS
    ) -> None:
        """Nothing is sent.

        Args:
            settings: Those in force, which may change.
            seconds: How long one try may take.
            waits: Seconds between one try and the next.
        """
        self._settings = settings
        self._seconds = seconds
        self._waits = waits
        self._waiting: deque[AlarmNotice] = deque()
        self._task: asyncio.Task[None] | None = None

    def send(self, notice: AlarmNotice) -> None:
        """Send an alarm in the background; a failure is logged, and tried again a few times."""
        if self._settings().alarm_url is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            LOG.error("the alarm %s (%s) is not sent to alarm_url: too many wait", notice.kind, notice.state)
            return
        self._waiting.append(notice)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send_all(), name="sale: sending alarms")

    async def aclose(self) -> None:
        """Give those that wait a moment, and give up the others."""
        if self._task is None or self._task.done():
            return
        await asyncio.wait({self._task}, timeout=END_SECONDS)
        if not self._task.done():
            LOG.error("alarms not sent to alarm_url, as the server ends: %d", len(self._waiting))
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _send_all(self) -> None:
        while self._waiting:
            await self._send(self._waiting[0])
            self._waiting.popleft()

    async def _send(self, notice: AlarmNotice) -> None:
        named = f"the alarm {notice.kind} ({notice.state}) could not be sent to alarm_url"
        for wait in self._waits:
            if (fault := await self._try(notice)) is None:
                return
            LOG.warning("%s, and will be tried again in %g s: %s", named, wait, fault)
            await asyncio.sleep(wait)
        if (fault := await self._try(notice)) is not None:
            LOG.error("%s, and is given up: %s", named, fault)

    async def _try(self, notice: AlarmNotice) -> str | None:
        """Send it once; return what went wrong, if anything did."""
        settings = self._settings()
        if (url := settings.alarm_url) is None:
            return None
        try:
            named = config.alarm_headers(settings)
            headers = {name: value.get_secret_value() for name, value in named.items()}
            # To read all certificates takes a while, in which the event loop does other work.
            client = await asyncio.to_thread(_client, url)
            async with (
                asyncio.timeout(self._seconds),
                client,
                client.stream(
                    "POST", url, content=notice.encode(), headers={**headers, "Content-Type": "application/json"}
                ) as answer,
            ):
                return None if answer.is_success else f"it answered {answer.status_code}"
        except SaleError as error:
            return str(error)
        except (TimeoutError, httpx2.TimeoutException):
            return f"no answer within {self._seconds:g} s"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            return f"it cannot be reached ({type(error).__name__})"


def _client(url: str) -> httpx2.AsyncClient:
    """A client for one request, with the one proxy on the way, if any.

    Raises:
        ConfigError: The environment's proxy cannot be used.
    """
    proxy = proxy_for(url)
    secure = not url.startswith("http:") or (proxy is not None and proxy.url.startswith("https"))
    verify = httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.AsyncClient(
        proxy=None if proxy is None else proxy.url, verify=verify, trust_env=False, timeout=None, follow_redirects=False
    )
