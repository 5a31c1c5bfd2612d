"""Every error `sale` raises on purpose, in one tree.

    SaleError
    ├── ConfigError            the configuration is wrong: fix `sale.toml` or the environment
    │   ├── UnpricedAgentError     an agent has no price, so it cannot enter an auction
    │   └── MissingExtraError      a feature needs an optional dependency
    ├── InputError             an argument is wrong: an unknown id, an unreadable file, an empty task
    │   └── RequirementError       no agent has the labels that a request or its key requires
    ├── CallError              a model could not be reached or did not answer properly
    │   ├── UnreachableError       no connection, or it broke                      (retryable)
    │   ├── CallTimeoutError       no answer in time                               (retryable)
    │   ├── RateLimitedError       the endpoint asks for fewer requests            (retryable)
    │   ├── ServerError            the endpoint failed                             (retryable)
    │   ├── RejectedError          the endpoint refuses this request: key, model name, context length
    │   ├── BadReplyError          the answer is not what the protocol promises
    │   ├── SpentError             the budget of the execution does not allow it
    │   └── NotReadyError          the model could not be made ready: its weights, its engine
    ├── AuctionError           the market could not hold the auction
    │   ├── CapError               a hard cap on calls, tokens, dollars or seconds forbids it
    │   └── NoBidsError            no bid stands
    ├── ExecutionError         the winner's work could not be carried out
    │   ├── SandboxError           code cannot be isolated on this machine
    │   └── FetchError             a page or a search could not be had: the agent sees it and goes on
    │       └── ForbiddenAddressError  the address is not one that agents may reach
    ├── ModelFileError         a weights file could not be fetched, verified or stored
    │   ├── DigestError            the bytes are not the ones the catalogue names
    │   ├── DiskFullError          there is no room
    │   └── SourcesError           no source could deliver the file               (retryable)
    ├── AccessError            the server refuses a request: the key, its limits, its budget
    │   ├── AuthenticationError    no key, or none that is valid
    │   ├── RateLimitError         the key has asked too much in the last minute   (retryable)
    │   └── BudgetError            the key's budget for this period does not cover the request
    ├── OutputError            a result could not be written to where the user wanted it
    └── StoreError             the auction memory or the server's store could not be read or written

Each error says what was wrong (`message`), where (`where`) and what to do (`hint`), and carries a stable
`code` for programs. `retryable` tells whether the same call may succeed later without a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, cast

if TYPE_CHECKING:
    import asyncio


class SaleError(Exception):
    """The root. `str(error)` is one readable sentence, then the hint.

    Attributes:
        message: What was wrong, with the offending value.
        where: The file, key, agent or stage it happened at; empty where the message says it already.
        hint: What to do about it.
        code: Stable, dotted, for programs and records.
        retryable: Whether the same request may succeed later unchanged.
    """

    code: ClassVar[str] = "sale"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        """`<where>: <message>. <hint>`, leaving out what is empty; a message with an end of its own keeps it."""
        place = f"{self.where}: " if self.where else ""
        stop = "" if not self.hint or self.message.endswith((".", "!", "?", ":")) else "."
        advice = f"{stop} {self.hint}" if self.hint else ""
        return f"{place}{self.message}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy with all three fields (the default keeps positional arguments only)."""
        return (_rebuild, (type(self), self.message, self.where, self.hint))


def _rebuild(kind: type[SaleError], message: str, where: str, hint: str) -> SaleError:
    return kind(message, where=where, hint=hint)


class ConfigError(SaleError):
    """`sale.toml` or the environment is wrong."""

    code = "config"


class UnpricedAgentError(ConfigError):
    """An agent without a price cannot be compared with the others, so it is refused, never taken as free."""

    code = "config.unpriced"


class MissingExtraError(ConfigError):
    """The feature needs an optional dependency that is not installed."""

    code = "config.missing_extra"


class InputError(SaleError):
    """An argument is wrong."""

    code = "input"


class RequirementError(InputError):
    """No agent has the labels that a request or its key requires, so its text is shown to none."""

    code = "input.requirement"


class CallError(SaleError):
    """A model call failed. The auction drops the agent or the score and goes on.

    Attributes:
        unsent: Whether it is certain that nothing of the request left this machine, so that it cost nothing.
    """

    code = "call"
    unsent: bool = False

    @property
    def resendable(self) -> bool:
        """True where the same request may be sent again at once: the work it asks for is not under way anywhere."""
        return self.unsent

    def __reduce__(self) -> tuple[object, ...]:
        """As every error, with whether it was sent."""
        return (*super().__reduce__(), {"unsent": self.unsent})


class UnreachableError(CallError):
    """No connection, or it broke before the answer was whole."""

    code = "call.unreachable"
    retryable = True


class CallTimeoutError(CallError):
    """No whole answer within the time allowed.

    The time may be that of the endpoint, or of a proxy on the way, which gave up waiting (408, 504, 524).
    """

    code = "call.timeout"
    retryable = True


class RateLimitedError(CallError):
    """The endpoint refused for now: too many requests, or the account's quota is used up."""

    code = "call.rate_limited"
    retryable = True

    @property
    def resendable(self) -> bool:
        """It was refused, so it may."""
        return True


class ServerError(CallError):
    """The endpoint failed on its side (5xx)."""

    code = "call.server"
    retryable = True

    @property
    def resendable(self) -> bool:
        """The endpoint has ended the work, so it may."""
        return True


class RejectedError(CallError):
    """The endpoint refuses this very request: wrong key, unknown model, too long a context."""

    code = "call.rejected"


class BadReplyError(CallError):
    """The answer is malformed or empty."""

    code = "call.bad_reply"


class SpentError(CallError):
    """The budget of an execution is used up: it ends with what was found so far."""

    code = "call.budget"


class NotReadyError(CallError):
    """The model could not be made ready to be asked: its weights are missing or broken, its engine did not start."""

    code = "call.not_ready"


class AuctionError(SaleError):
    """The auction could not be held."""

    code = "auction"


class CapError(AuctionError):
    """A hard cap forbids the call or the whole auction."""

    code = "auction.cap"


class NoBidsError(AuctionError):
    """Every agent dropped out; the reasons of each are in the message, and the cost of the auction in the hint.

    Attributes:
        dollars: Spent on the auction; `None` where that is not known.
    """

    code = "auction.no_bids"

    def __init__(self, message: str, *, where: str = "", hint: str = "", dollars: float | None = None) -> None:
        if dollars is not None and not hint:
            hint = f"The auction cost ${dollars:.6f}. `sale doctor` checks every agent."
        super().__init__(message, where=where, hint=hint)
        self.dollars = dollars

    def __reduce__(self) -> tuple[object, ...]:
        """As every error, with its dollars."""
        return (*super().__reduce__(), {"dollars": self.dollars})


class ExecutionError(SaleError):
    """The award was made but the work could not be carried out."""

    code = "execution"


class SandboxError(ExecutionError):
    """Code cannot be run in isolation here."""

    code = "execution.sandbox"


class FetchError(ExecutionError):
    """A page could not be read, or a search provider did not answer. It costs the call, not the task."""

    code = "execution.fetch"


class ForbiddenAddressError(FetchError):
    """The address is not on the public web, or is written in a way that is refused."""

    code = "execution.fetch.forbidden"


class ModelFileError(SaleError):
    """A weights file could not be fetched, verified or stored."""

    code = "model_file"


class DigestError(ModelFileError):
    """The bytes do not have the SHA-256 the catalogue names."""

    code = "model_file.digest"


class DiskFullError(ModelFileError):
    """There is no room for the file."""

    code = "model_file.disk_full"


class SourcesError(ModelFileError):
    """No source could deliver the file."""

    code = "model_file.sources"
    retryable = True


class AccessError(SaleError):
    """The server refuses a request.

    Attributes:
        retry_after: Seconds after which it may be granted; `None` where waiting does not help.
    """

    code = "access"

    def __init__(self, message: str, *, where: str = "", hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        """As every error, with the time to wait."""
        return (*super().__reduce__(), {"retry_after": self.retry_after})


class AuthenticationError(AccessError):
    """No key was shown where one is needed, or it is unknown, expired or revoked."""

    code = "access.authentication"


class RateLimitError(AccessError):
    """The key has used up its requests or tokens of this minute."""

    code = "access.rate_limit"
    retryable = True


class BudgetError(AccessError):
    """The budget of the key has less left than the request may cost."""

    code = "access.budget"


class OutputError(SaleError):
    """A result could not be written to the file, the pipe or the stream it was to go to."""

    code = "output"


class StoreError(SaleError):
    """The auction memory or the server's store could not be read or written."""

    code = "store"


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, whatever groups they lie in; of an error that is not a group, itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves_of(one)
    else:
        yield error


def first_error(error: BaseException) -> BaseException:
    """Return the first error of a group, which says more than the group; any other error as it is."""
    return next(leaves_of(error))


def retrieve_error(done: asyncio.Future[Any]) -> None:
    """Look at the error of something done in the background, whose caller may have left: asyncio would tell of it."""
    if not done.cancelled():
        done.exception()
