"""The consoles of the command. Apart from the options, as the library takes a while to load.

Where the terminal asks for plain characters (`TERM=dumb`, or `SALE_ASCII` is set) the boxes, marks and dashes of the
command are ASCII; what others wrote is shown as it is, its typographic characters apart. Colours go by `NO_COLOR`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

from sale import config
from sale.cli.typography import in_ascii


class PlainConsole(Console):
    """A console that keeps to ASCII where the terminal asks for it. Models' text is text, never markup."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        """Of standard output, or of standard error."""
        super().__init__(markup=False, emoji=False, highlight=False, stderr=stderr, soft_wrap=soft_wrap)
        if self.keeps_to_ascii:
            self.push_render_hook(_AsciiHook())

    @property
    def keeps_to_ascii(self) -> bool:
        """True where the terminal, or the user, asks for it."""
        return self.is_dumb_terminal or config.wants_ascii()

    @property
    def encoding(self) -> str:
        """The encoding that boxes are drawn for."""
        return "ascii" if self.keeps_to_ascii else super().encoding

    @property
    def is_live(self) -> bool:
        """True where lines can be drawn over: a terminal that is not a dumb one."""
        return self.is_terminal and not self.is_dumb_terminal


class ResultConsole(PlainConsole):
    """A console that leaves to the command what happens when its reader has left."""

    def on_broken_pipe(self) -> None:
        """Raise it again; the library would end the process with status 1.

        Raises:
            BrokenPipeError: Always.
        """
        raise BrokenPipeError


class _AsciiHook(RenderHook):
    """Everything that is printed goes through `in_ascii`."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Wrap each of them."""
        return [_InAscii(one) for one in renderables]


@dataclass(frozen=True, slots=True)
class _InAscii:
    """A renderable whose marks and dashes are ASCII, one character for one, so that columns stay in line."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _translated(console.render(self.inner, options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self.inner)


def _translated(segments: Iterable[Segment]) -> Iterable[Segment]:
    for text, style, control in segments:
        yield Segment(text if control else in_ascii(text), style, control)
