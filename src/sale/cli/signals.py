"""Ending by a signal: SIGTERM and SIGHUP end a command as Ctrl-C does.

Ctrl-C cancels the work: what runs for it (programs, sandboxes, MCP servers, engines) is ended, and the record says how
far it came. Without a handler the two other signals would end this process alone and leave the rest running.
"""

from __future__ import annotations

import contextlib
import signal
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class SignalEnding:
    """The signal that ended this command, once there was one."""

    def __init__(self) -> None:
        """Nothing has, so far."""
        self.signal: int = signal.SIGINT

    def watch(self) -> None:
        """Take both signals for Ctrl-C from now on. One that is ignored already (`nohup`) stays so.

        To be called in the main thread, before an event loop runs: it takes over what Ctrl-C does.
        """
        for number in ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._end)
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            # A shell has started this in the background, where Ctrl-C is for others. It is kept from us by blocking it;
            # were it ignored, no event loop would take over what it does.
            with contextlib.suppress(AttributeError):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        # A second one finds nothing in its way: an end that hangs can be ended.
        signal.signal(number, signal.SIG_DFL)
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):
            interrupt(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt
