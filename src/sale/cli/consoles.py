"""The consoles of the command. Apart from the options, as the library takes a while to load.

What is printed never drives the terminal: records of others, too, hold names and texts that were meant to.
Where the terminal asks for plain characters (`TERM=dumb`, or `SALE_ASCII` is set) the boxes, marks and dashes of the
command are ASCII; what others wrote is shown as it is, its typographic characters apart. Colours go by `NO_COLOR`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

from sale import config
from sale.cli.typography import in_ascii, without_controls


class PlainConsole(Console):
    """A console that keeps to ASCII where the terminal asks for it. Models' text is text, never markup."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        """Of standard output, or of standard error."""
        super().__init__(markup=False, emoji=False, highlight=False, stderr=stderr, soft_wrap=soft_wrap)
        self.push_render_hook(_TextHook(self.keeps_to_ascii))

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


class _TextHook(RenderHook):
    """Nothing that is printed drives the terminal, whoever wrote it; where it asks for ASCII, marks and dashes are."""

    def __init__(self, keeps_to_ascii: bool) -> None:
        self._keeps_to_ascii = keeps_to_ascii

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Wrap each of them."""
        return [_Harmless(one, self._keeps_to_ascii) for one in renderables]


@dataclass(frozen=True, slots=True)
class _Harmless:
    """A renderable without control characters; in ASCII one character stands for one, so that columns stay in line."""

    inner: RenderableType
    keeps_to_ascii: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, control in console.render(self.inner, options):
            shown = text if control else without_controls(text)
            yield Segment(in_ascii(shown) if self.keeps_to_ascii and not control else shown, style, control)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self.inner)
