"""The secret of a virtual key: made once, shown once, kept as a salted digest.

A secret is 32 random bytes in URL-safe letters after `sk-sale-`. Its first eight letters are public: they find the row
and tell keys apart in lists. The other 35 hold 208 bits that cannot be guessed, so a fast digest is enough, and
checking one costs a microsecond.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

MARK: Final = "sk-sale-"
RANDOM_BYTES: Final = 32
SALT_BYTES: Final = 16
SHOWN: Final = len(MARK) + 8
_FORM: Final = re.compile(r"sk-sale-[A-Za-z0-9_-]{43}")


def new_secret() -> str:
    """Return a new secret."""
    return MARK + secrets.token_urlsafe(RANDOM_BYTES)


def new_salt() -> bytes:
    """Return a salt, which makes equal secrets of two stores look different."""
    return secrets.token_bytes(SALT_BYTES)


def prefix_of(secret: str) -> str | None:
    """The public beginning; `None` where the text cannot be a secret of ours."""
    return secret[:SHOWN] if _FORM.fullmatch(secret) else None


def digest_of(secret: str, salt: bytes) -> bytes:
    """Return the digest of a secret that is stored."""
    return hashlib.blake2b(secret.encode(), digest_size=32, salt=salt, person=b"sale.key").digest()


def is_secret(secret: str, salt: bytes, digest: bytes) -> bool:
    """Return whether `digest` is of this secret; takes the same time however much of it is right."""
    return hmac.compare_digest(digest_of(secret, salt), digest)
