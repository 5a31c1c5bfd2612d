"""Estimates of a request's tokens before any are counted: at most, for money set aside, and as a rule.

Words are reckoned by their bytes. An image, a recording or a document is not: what it costs depends on its size in
pixels, seconds or pages, and its base64 has nothing to do with words. Each kind has a bound of its own, from what the
large providers document. A bound can be exceeded (by words of a rare script, or an image cut into very many tiles):
what the endpoint then counts is charged, and the next request refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from sale.types.calls import USUAL_BYTES_PER_TOKEN, byte_length

Json = dict[str, Any]

WORST_BYTES_PER_TOKEN: Final = 3
"""Of what is sent, for money set aside beforehand: prose has more."""
IMAGE: Final = (5_000, 1_200)
"""Tokens of an image, at most and as a rule: a photo is 765 to 1,600 with most, and up to 4,800 in full resolution."""
WHOLE_SOUND: Final = (256, 3_200)
"""Bytes of uncompressed sound a token: at 32 tokens and 8 kB a second, and as a rule 10 tokens and 32 kB."""
SOUND: Final = (64, 800)
"""Bytes of compressed sound a token: at 32 tokens and 2 kB a second, and as a rule 10 tokens and 8 kB."""
DOCUMENT: Final = (8, 40)
"""Bytes of a PDF a token: a page has 20 kB and more, and is read as its text and as an image."""
REFERENCE: Final = (32_000, 4_000)
"""Tokens of a file that is at the provider, or of a film: nothing of it is in the request."""
BASE64: Final = 0.75
"""Bytes in a letter of base64."""
UNCOMPRESSED: Final = frozenset({"wav", "pcm16", "pcm", "g711_ulaw", "g711_alaw"})
LIMITS: Final = (
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "n_predict",
    "num_predict",
)
"""Names of the limit of an answer's length. An endpoint goes by the one it knows."""
THINKING: Final = (("thinking", "budget_tokens"), ("reasoning", "max_tokens"), ("thinking", "max_tokens"))
"""Where some take a limit for thoughts, which may come on top."""
THOUGHTS: Final = ("thinking_budget", "thinking_budget_tokens", "thinking_token_budget", "reasoning_budget")
"""The same for those that take it beside the other limits."""
MAX_TOKENS: Final = 2**40
"""The largest number that is used: larger ones are cut to it, since databases hold no number of any size."""
CHOICES: Final = ("n", "best_of")
SOME_MORE: Final = 64
"""Tokens beside the text: roles, the template, the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEstimate:
    """The estimated size of a request: its words in bytes, and everything else in tokens."""

    words: int = 0
    most: int = 0
    usual: int = 0

    def __add__(self, other: TokenEstimate) -> TokenEstimate:
        return TokenEstimate(
            words=self.words + other.words, most=self.most + other.most, usual=self.usual + other.usual
        )

    def max_tokens(self, plan: str = "") -> int:
        """Input tokens, at most, with a plan put before them."""
        words = self.words + byte_length(plan)
        return -(-words // WORST_BYTES_PER_TOKEN) + self.most + SOME_MORE

    @property
    def as_a_rule(self) -> int:
        """Input tokens, as an estimate."""
        return -(-self.words // USUAL_BYTES_PER_TOKEN) + self.usual


def weigh(body: Json, messages: Sequence[Json], size: int) -> TokenEstimate:
    """Estimate the size of a request.

    Args:
        body: The request.
        messages: Of it.
        size: Its bytes as it came. Tools, schemas and everything else count as words.
    """
    found = sum((_weight(part) for message in messages for part in _parts(message.get("content"))), TokenEstimate())
    if found.words:  # what is no word is taken out of the size, however it was escaped
        size = min(size, len(orjson.dumps(body)))
    return TokenEstimate(words=max(0, size + found.words), most=found.most, usual=found.usual)


def max_output_tokens(body: Mapping[str, object], otherwise: int) -> int:
    """The most tokens of all answers together.

    An endpoint may know any one of several limits, and goes by that: so the largest counts.

    Args:
        body: The request.
        otherwise: An answer without a limit.
    """
    otherwise = max(otherwise, 1)
    given = [limit for name in LIMITS if name in body and (limit := _limit(body[name], otherwise)) is not None]
    asked = [body[name] for name in THOUGHTS if name in body]
    asked += [
        cast("Mapping[str, object]", nested).get(inner) for name, inner in THINKING if _is_map(nested := body.get(name))
    ]
    thoughts = [limit for one in asked if (limit := _limit(one, otherwise)) is not None]
    one = max(given, default=otherwise) + max(thoughts, default=0)
    return one * choices(body) + _predicted(body.get("prediction"))


def choices(body: Mapping[str, object]) -> int:
    """Return the number of answers that are asked for."""
    return max((found for name in CHOICES if (found := _positive(body.get(name))) is not None), default=1)


def estimate_output(pieces: int, size: int) -> int:
    """Estimate the tokens of an answer by its bytes: at least one for each piece it came in."""
    return max(pieces, -(-size // USUAL_BYTES_PER_TOKEN))


def _parts(content: object) -> Iterator[Json]:
    if isinstance(content, list):
        for part in cast("list[object]", content):
            if isinstance(part, dict):
                yield cast("Json", part)


def _weight(part: Json) -> TokenEstimate:
    """Return the size of a message's part beside words; `words` is negative by the bytes that are not words."""
    kind: object = part.get("type")
    return _KINDS[kind](part) if isinstance(kind, str) and kind in _KINDS else TokenEstimate()


def _image(part: Json) -> TokenEstimate:
    given: object = part.get("image_url") or part.get("image") or part.get("source")
    if isinstance(given, dict):
        fields = cast("Json", given)
        data: object = fields.get("data")
        if fields.get("type") == "base64" and isinstance(data, str):
            return TokenEstimate(words=-len(data), most=IMAGE[0], usual=IMAGE[1])
        given = cast("object", fields.get("url"))
    url = given
    if not isinstance(url, str) or not url.startswith(("data:image/", "http://", "https://")):
        return TokenEstimate()  # words, for all anybody knows
    letters = len(url) if url.startswith("data:") and ";base64," in url[:100] else 0
    return TokenEstimate(words=-letters, most=IMAGE[0], usual=IMAGE[1])


def _sound(part: Json) -> TokenEstimate:
    given: object = part.get("input_audio")
    fields = cast("Json", given) if isinstance(given, dict) else {}
    data: object = fields.get("data")
    if not isinstance(data, str):
        return TokenEstimate()
    return _measured(data, WHOLE_SOUND if fields.get("format") in UNCOMPRESSED else SOUND)


def _file(part: Json) -> TokenEstimate:
    given: object = part.get("file")
    fields = cast("Json", given) if isinstance(given, dict) else part
    data: object = fields.get("file_data")
    if not isinstance(data, str):
        return TokenEstimate(most=REFERENCE[0], usual=REFERENCE[1])
    if data.startswith("data:text/"):
        return TokenEstimate()
    return _measured(data, DOCUMENT)


def _film(_: Json) -> TokenEstimate:
    return TokenEstimate(most=REFERENCE[0], usual=REFERENCE[1])


def _measured(data: str, rates: tuple[int, int]) -> TokenEstimate:
    size = int(len(data) * BASE64)
    return TokenEstimate(words=-len(data), most=-(-size // rates[0]), usual=-(-size // rates[1]))


_KINDS: Final[Mapping[str, Callable[[Json], TokenEstimate]]] = {
    "image": _image,
    "image_url": _image,
    "input_image": _image,
    "input_audio": _sound,
    "file": _file,
    "input_file": _file,
    "video_url": _film,
}


def _predicted(given: object) -> int:
    """A prediction that turns out wrong is billed as if it had been written."""
    content: object = cast("Json", given).get("content") if isinstance(given, dict) else None
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in _parts(cast("object", content)))
    return -(-byte_length(content) // WORST_BYTES_PER_TOKEN) if isinstance(content, str) else 0


def _limit(value: object, otherwise: int) -> int | None:
    """A limit as an endpoint may read it; `None` where none is given.

    Some read `5000.0` and `"5000"`, too. What is below zero, or is not a number, sets no limit: `otherwise`.
    """
    if value is None or isinstance(value, bool) or value in (0, ""):
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        number = -1.0
    if not number > 0:
        return otherwise
    return MAX_TOKENS if number >= MAX_TOKENS else math.ceil(number)


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
