"""Forms of the keys of well-known services, so that none is shown in the log or in an error."""

from __future__ import annotations

from typing import Final

KEY_BEGINNING: Final = (
    r"\b(?:(?:sk|rk|gsk|xai|csk)[-_](?:[a-z]+[-_])?(?:[a-z]{1,3}[0-9]+-)?|pk-(?:[a-z]+-)?|pk_(?:live|test)_"
    r"|(?:pplx|nvapi|tvly|glpat)-|hf_|hf-(?=[A-Za-z0-9]*\d)|r8_|gh[oprsu]_|github_pat_|AIza)"
)
"""The beginning of a key, as a regular expression without groups: what follows it is secret."""
