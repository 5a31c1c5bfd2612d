"""The server's log: one JSON object a line for machines, or plain lines, and never a key in either."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Final, TextIO

from sale.server.key_forms import KEY_BEGINNING

MASK: Final = "…"
_SECRET: Final = re.compile(
    rf"({KEY_BEGINNING}[A-Za-z0-9_]{{4}})[A-Za-z0-9_-]{{12,}}"
    r"|((?i:bearer|basic) )[^\s\"',]{8,}"
)
_PASSWORD: Final = re.compile(r"(\w://[^\s:/@]*:)[^\s@/]+@")
PLAIN: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def mask_secrets(text: str) -> str:
    """The text without what looks like a key, a token or a password in a URL; the first letters stay."""
    return _PASSWORD.sub(rf"\1{MASK}@", _SECRET.sub(lambda found: f"{found[1] or found[2]}{MASK}", text))


class MaskedFormatter(logging.Formatter):
    """Plain lines, tracebacks too, with secrets masked."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several with a traceback."""
        return mask_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `message`, and `error` with a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        said = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask_secrets(record.getMessage()),
        }
        if record.exc_info:
            said["error"] = mask_secrets(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False)


def configure_log(stream: TextIO, *, as_json: bool, level: int = logging.INFO) -> logging.Handler:
    """Write the log of `sale`, and warnings of everybody else, to a stream.

    Args:
        stream: Usually standard error.
        as_json: For machines.
        level: Of the project's own loggers.

    Returns:
        The handler, to be removed from the root logger by whoever wants the log to end.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if as_json else MaskedFormatter(PLAIN))
    logging.getLogger().addHandler(handler)
    logging.getLogger("sale").setLevel(level)
    return handler
