"""The sessions of opencode, as it names them beside the body of a chat completion.

Its user agent begins with `opencode/`, and every request names its session in `x-session-affinity`. An agent that it
sets to work has a session of its own. The title of a session is asked for under the session's name, at the same time as
its first turn, without tools and before anything is answered; its turns offer tools.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sale.server.gateway.chat_request import ChatRequest
from sale.server.gateway.exchange import Exchange

USER_AGENT: Final = "opencode/"
SESSION_HEADER: Final = b"x-session-affinity"


def note_session(exchange: Exchange, asked: ChatRequest) -> ChatRequest:
    """Return a request of opencode with its session, and a request of another client unchanged.

    The request for a title is aside: it takes no turn of the conversation.

    Args:
        exchange: With the request's headers.
        asked: The request. A session that its body names stands.
    """
    if not (exchange.header(b"user-agent") or "").startswith(USER_AGENT):
        return asked
    session = exchange.header(SESSION_HEADER)
    if not session:
        return asked
    answered = any(message["role"] == "assistant" for message in asked.messages)
    return replace(asked, session=asked.session or session, aside=not asked.tools and not answered)
