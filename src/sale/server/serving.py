"""`sale serve` without the command: an address, a store, a market, and signals.

SIGTERM and SIGINT let requests under way end, within limits, and whatever was answered is written before the process
ends; SIGHUP reads the settings again without dropping any.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from importlib import import_module
from importlib.util import find_spec
from ipaddress import ip_address
from types import FrameType

import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sale import config
from sale.config.own_address import refuse_own_endpoints
from sale.errors import ConfigError, InputError, SaleError
from sale.market import Market
from sale.server.app import create_app, wrap_app
from sale.server.dashboard import DashboardSettings
from sale.server.dashboard import routes as dashboard_routes
from sale.server.dashboard.live_sharing import CHANNEL, LiveSharing
from sale.server.events import EventHub
from sale.server.gateway.state import GatewayState
from sale.server.limits import ConnectionLimits, limit_protocol
from sale.server.observing.metrics import Metrics
from sale.server.observing.metrics import routes as metrics_routes
from sale.server.observing.traces import Traces, configure_traces
from sale.server.observing.watching import ObservedHub, ObservedStore
from sale.server.store.announcements import Announcements
from sale.server.store.store import ServerStore

LOG = logging.getLogger("sale.server")
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
ROUNDS, ROUND_SECONDS = 3, 0.05
"""Looks at the network before connections are closed: one accepts those that wait, the next reads what was sent."""
GARBAGE = (10_000, 20, 20)
"""Thresholds of garbage collection: a request makes many objects and few cycles, which can wait for other requests."""


async def serve(
    settings: config.Settings,
    *,
    again: Callable[[], config.Settings],
    ready: Callable[[str], None],
) -> None:
    """Serve until told to stop.

    Args:
        settings: Everything.
        again: Reads the settings anew, on SIGHUP.
        ready: Told the address once connections are accepted.

    Raises:
        ConfigError: The address is one that others can reach, and nothing protects it; or an agent's endpoint is it.
            Or a variable that the settings name is not set.
        InputError: The port cannot be had.
        SaleError: The store cannot be opened, or an agent is set up wrongly.
    """
    server = settings.server
    secret = config.server_password(server)
    config.alarm_headers(server)  # a variable that is missing is not first noticed at an alarm
    config.secure_data_directory()
    # The signals are let go last: one that comes while the store is being closed would end the process before.
    with contextlib.ExitStack() as signals:
        await _serve(settings, secret, again=again, ready=ready, signals=signals)


async def _serve(
    settings: config.Settings,
    secret: SecretStr | None,
    *,
    again: Callable[[], config.Settings],
    ready: Callable[[str], None],
    signals: contextlib.ExitStack,
) -> None:
    server = settings.server
    async with await ServerStore.open(config.server_database(settings)) as store:
        await check_address(server, store)
        with _listener(server.host, server.port) as listener:
            port: int = listener.getsockname()[1]
            refuse_own_endpoints(settings, port)
            metrics, traces = Metrics(), Traces() if configure_traces() else None
            hub = ObservedHub(metrics, *([traces] if traces else []))
            state = GatewayState(
                Market.from_config(settings=settings.served), ObservedStore(store, metrics, traces), hub, server
            )
            state.shadow.on_alarms = metrics.raise_alarms
            metrics.measure(sessions=lambda: len(state.sessions), queued=lambda: store.queued)
            looks = DashboardSettings(password=secret.get_secret_value() if secret else None)
            others = _other_gateways(store, hub)
            pages = dashboard_routes(lambda: state.handle.market, store, hub, looks, others)
            app = create_app(state, routes=[*metrics_routes(metrics, store), *pages])
            running = Server(wrap_app(app, state, store, traces, has_password=secret is not None), server, state)
            signals.enter_context(_caught(running.handle_exit))
            reloading = _on_hangup(state, again, port)
            # Two hundred thousand objects of imported modules: looked through at each full collection, they would hold
            # up every request for a tenth of a second.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GARBAGE)
            try:
                ready(_shown(listener))
                async with others or contextlib.nullcontext():
                    await running.serve(sockets=[listener])
            finally:
                reloading()


def _other_gateways(store: ServerStore, hub: EventHub) -> LiveSharing | None:
    """The auctions of other gateways for the live page, where there may be some."""
    if store.database.backend.path is not None:  # a file is one gateway's
        return None
    return LiveSharing(hub, Announcements(store.database, CHANNEL))


async def check_address(server: config.ServerSettings, store: ServerStore) -> None:
    """Refuse an address that others can reach where anybody could spend money, or look at everything.

    Raises:
        ConfigError: There is no key, or no password.
    """
    if _is_own(server.host):
        return
    if not await store.has_keys():
        raise ConfigError(
            f"{server.host} can be reached by others, and no key is needed to spend money there",
            where="[server] host",
            hint="Make a key with `sale keys create NAME`, or listen at 127.0.0.1.",
        )
    if server.password_env is None:
        raise ConfigError(
            f"{server.host} can be reached by others, and the dashboard has no password",
            where="[server] host",
            hint='Set password_env = "SALE_PASSWORD" and that variable, or listen at 127.0.0.1.',
        )


def _is_own(host: str) -> bool:
    """Return whether only this machine can reach an address. The unspecified one is reached from everywhere."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InputError: The address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # With the protocol named, the event loop turns Nagle's algorithm off.
        listener = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"{host}, port {port}, cannot be had: {error}", hint="Give another with --port.") from error
    return listener


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn within limits, that tells the gateway when it is to stop."""

    def __init__(self, app: ASGIApp, server: config.ServerSettings, state: GatewayState) -> None:
        """Nothing is opened.

        Args:
            app: What is served.
            server: Its settings.
            state: The gateway's state.
        """
        super().__init__(
            uvicorn.Config(
                _closing(app, state),
                interface="asgi3",
                log_level="warning",
                access_log=False,
                ws="none",
                http=limit_protocol(ConnectionLimits.of(server)),
                lifespan="on",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(server.drain_seconds)),
                # By itself it would believe whatever comes from the loopback, and the environment.
                proxy_headers=bool(server.trusted_proxies),
                forwarded_allow_ips=list(server.trusted_proxies),
                backlog=BACKLOG,
            )
        )
        self._state = state
        self._hurry = asyncio.Event()
        """Set once it was told twice to stop."""
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to the caller: uvicorn raises them again when it has ended, and that ends the process."""
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; a second signal does not wait for balancers any more."""
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._hurry.set)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No new connections, once balancers have had time to notice; those there are may end their requests."""
        self._state.leaving = True
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._state.settings.leave_seconds):
                await self._hurry.wait()
        # Closing resets what the kernel has taken and this process has not read yet: on a busy machine, whole requests.
        for _ in range(ROUNDS):
            await asyncio.sleep(ROUND_SECONDS)
        self._state.draining = True
        # Whoever listens to events would otherwise keep the server from its end.
        self._state.hub.close()
        await super().shutdown(sockets)


def _closing(app: ASGIApp, state: GatewayState) -> ASGIApp:
    """Have each answer of a server that leaves end its connection: a client's next request opens another, elsewhere."""

    def closing(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        return app(scope, receive, tell if state.leaving and scope["type"] == "http" else send)

    return closing


@contextlib.contextmanager
def _caught(stop: Callable[[int, FrameType | None], None]) -> Generator[None]:
    """Have SIGTERM and SIGINT stop the server, and nothing else."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_hangup(state: GatewayState, again: Callable[[], config.Settings], port: int) -> Callable[[], None]:
    """Read the settings again on SIGHUP; gives back how to stop that."""
    loop = asyncio.get_running_loop()
    under_way: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        try:
            settings = await asyncio.to_thread(again)
            refuse_own_endpoints(settings, port)
            config.alarm_headers(settings.server)
            await state.reload(Market.from_config(settings=settings.served), settings.server)
            LOG.warning("settings read again: %s", settings.origin)
        except SaleError as error:
            LOG.error("the settings are as they were: %s", error)

    def hangup() -> None:
        task = loop.create_task(reload())
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    with contextlib.suppress(NotImplementedError, AttributeError, ValueError):
        loop.add_signal_handler(signal.SIGHUP, hangup)

    def stop() -> None:
        with contextlib.suppress(NotImplementedError, AttributeError, ValueError):
            loop.remove_signal_handler(signal.SIGHUP)

    return stop


def run(work: Coroutine[object, object, None]) -> None:
    """Run on the fastest event loop there is."""
    factory = import_module("uvloop").new_event_loop if find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)
