"""`[server]` of `sale.toml`: the gateway and its dashboard."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sale import extensions
from sale.config.sections import HEADER_NAME, Dollars, Positive, Seconds, Section, Variable, is_address
from sale.types.labels import read_labels

VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
"""An origin as browsers send it; those of extensions have schemes of their own."""


class EmbeddingSettings(Section):
    """An endpoint for `/v1/embeddings`."""

    endpoint: Annotated[str, Field(pattern=extensions.ADDRESS)]
    """Base URL, usually ending in `/v1`."""
    model: str | None = None
    """The model's name there; the one the client names unless given."""
    api_key_env: Annotated[str, Field(pattern=VARIABLE)] | None = None
    """The environment variable that holds its key."""
    price: Dollars | None = None
    """Dollars per million tokens. Looked up where it is public; unless given, embeddings of other endpoints count as
    tokens and cost nothing."""
    labels: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """As an agent's: what can be [required](gateway.md#requirements) of it. The embedded MiniLM needs none."""

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, labels: dict[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
        read_labels(labels)
        return labels


class ServerSettings(Section):
    """The settings of `sale serve`."""

    host: str = "127.0.0.1"
    """The address to listen at. One that others can reach needs a key (`sale keys create`) and a password."""
    port: Annotated[int, Field(ge=0, le=65535, strict=True)] = 8127
    """The port; 0 for any that is free."""
    password_env: Annotated[str, Field(pattern=VARIABLE)] | None = None
    """The environment variable with the dashboard's password. Without one the dashboard is for this machine only."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies in front, `["127.0.0.1"]`. What these say of a request's client and
    scheme (`X-Forwarded-For`, `X-Forwarded-Proto`) is believed, and what others say is not. It counts for how often a
    password may be tried, and for the cookie; it gives no access."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may use the API, `["https://app.example"]`: scheme, host, and the port where it is not
    the usual one. A page sends its user's key. The dashboard is for its own pages alone."""
    database: str | None = None
    """Where keys, sessions and the ledger are kept: a file, or `postgresql+psycopg://…` for several machines. A file
    beside the auction memory unless given."""
    reauction: Literal["never", "task"] = "never"
    """With `never` a conversation is auctioned once, with `task` again for each new task its user gives; the cost of
    losing the prompt cache then counts against all agents but the one that has it."""
    effort: Literal["request", "agent"] = "request"
    """With `request`, a request's own reasoning effort is respected: agents set to another effort do not bid for it,
    unless all are, and it is sent as it is. With `agent`, agents that have an effort work at their own, whatever the
    client says, and the market chooses among them; `x-sale-lost` says so."""
    mode: Literal["market", "shadow"] = "market"
    """With `market`, conversations are auctioned. With `shadow` the incumbent answers them all, as it did before, and
    auctions held afterwards say [what the market would have done](shadow.md)."""
    canary: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.0
    """With `mode = "shadow"`, the share of conversations, in [0, 1], that the market answers all the same."""
    alarm_url: Annotated[str, Field(pattern=extensions.ADDRESS)] | None = None
    """An address that is told by a POST when [an alarm of the shadow](shadow.md#alarms) begins, and when it ends."""
    alarm_headers_env: dict[str, Variable] = Field(default_factory=dict)
    """Headers of that POST, each with the environment variable that holds its value,
    `{ Authorization = "ALARM_TOKEN" }`."""
    session_seconds: Seconds = 1800.0
    """Seconds a conversation may rest before its record is settled. Afterwards it still goes to the same agent."""
    sessions: Positive = 10_000
    """The most conversations to be kept in mind at one time."""
    silence_seconds: Seconds = 300.0
    """The longest an endpoint may be silent: before its first byte, and between two of them. For an answer that is not
    streamed, the whole of it counts: it also has the agent's `seconds` and no more."""
    drain_seconds: Seconds = 30.0
    """Seconds that requests under way have to end, when the server is told to stop."""
    leave_seconds: Annotated[float, Field(ge=0, strict=True)] = 0.0
    """Seconds that new requests are still taken when the server is told to stop, while `/readyz` says 503 already: the
    time a balancer in front of several gateways needs to notice. A second signal ends it at once."""
    ledger: Literal["behind", "before"] = "behind"
    """With `behind`, lines of the ledger are written up to a quarter of a second after the answer, and a process that
    is killed loses them. With `before`, an answer ends only once its line is in the database: a commit for each, shared
    by those that wait together."""
    body_mb: Positive = 32
    """The largest request, in megabytes."""
    header_kb: Positive = 64
    """The largest head of a request, in kilobytes: its address and all its headers."""
    headers: Positive = 100
    """The most headers of a request."""
    head_seconds: Seconds = 20.0
    """Seconds a connection may take to send the head of a request, from its opening or the request's first byte."""
    body_seconds: Seconds = 30.0
    """Seconds the body of a request may come more slowly than a kilobyte a second, or not at all."""
    connections: Positive = 4096
    """The most connections of one address at one time. A proxy in front of the server is one address."""
    embeddings: EmbeddingSettings | None = None
    """Where `/v1/embeddings` is answered, a table `[server.embeddings]`; by the embedded MiniLM unless given."""

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for one in given:
            if not ORIGIN.fullmatch(one):
                raise ValueError(
                    f"{one!r} is no origin: write https://app.example, in small letters and without a path"
                )
        return given

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for one in given:
            try:
                ip_network(one)
            except ValueError as error:
                raise ValueError(f"{one!r} is no address and no network: {error}") from None
        return given

    @model_validator(mode="after")
    def _alarms(self) -> Self:
        """Refuse an address of alarms that there cannot be, without repeating it, and headers that cannot be sent."""
        if self.alarm_url is None and self.alarm_headers_env:
            raise ValueError("alarm_headers_env goes with alarm_url only")
        if self.alarm_url is not None and not is_address(self.alarm_url):
            raise ValueError("alarm_url is no address: write https://host/path, with a host and no port above 65535")
        if self.alarm_url is not None and urlsplit(self.alarm_url).username is not None:
            raise ValueError("alarm_url holds no user or password; name the variable of a header in alarm_headers_env")
        if bad := sorted(name for name in self.alarm_headers_env if not HEADER_NAME.fullmatch(name)):
            raise ValueError(f"alarm_headers_env: no names of headers: {', '.join(map(repr, bad))}")
        return self
