"""The console that results go to. Apart from the options, as the library takes a while to load."""

from __future__ import annotations

from rich.console import Console


class ResultConsole(Console):
    """A console that leaves to the command what happens when its reader has left."""

    def on_broken_pipe(self) -> None:
        """Raise it again; the library would end the process with status 1.

        Raises:
            BrokenPipeError: Always.
        """
        raise BrokenPipeError
