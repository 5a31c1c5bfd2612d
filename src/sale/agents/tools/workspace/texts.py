"""Files as text: decoded by what they say of themselves, changed in plain lines, and encoded as they were.

A file is in the encoding of its byte-order mark, else the one it declares in its first two lines (`# -*- coding:
latin-1 -*-`, as PEP 263 has it, or the declaration of XML), else UTF-8. Whoever changes it sees neither the mark nor
its line ends: every line ends in a line feed. A line that is not changed keeps its bytes, a new one ends like the lines
around it. What cannot be decoded and encoded again byte for byte is not text, and is never changed as text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from sale.errors import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK = "\ufeff"
_COMMENT = re.compile(r"^[ \t\f]*(?:#[^\r\n]*)?$")
_DECLARED = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_XML = re.compile(r"^<\?xml[^>]*?\bencoding\s*=\s*[\"']([-\w.]+)[\"']")
_END = re.compile(r"\r\n|\r|\n")
_HEAD = 1000
"""Characters of a file in which its declaration is looked for."""
_PLAIN = frozenset({"utf-8", "ascii", "iso8859-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"})
"""Encodings in which the bytes of a line depend on nothing before it."""
_SLOW = frozenset({"punycode", "idna"})
"""Encodings of names of hosts: decoding takes the square of a text's length, which is hours for a large file."""
_COMPARED = 4000
"""Lines up to which two versions of a file are compared without a short cut."""


@dataclass(frozen=True, slots=True)
class TextEdit:
    """A part of a file's plain text, and what takes its place."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class FileText:
    """A file as text, with what its bytes have beside."""

    raw: str
    """With its own line ends, without a byte-order mark."""
    encoding: str = "utf-8"
    mark: bytes = b""
    """The byte-order mark it begins with."""

    @property
    def plain(self) -> str:
        """The text as it is shown and changed: every line ends in a line feed."""
        return plain_lines(self.raw)

    def with_spans(self, spans: Sequence[TextEdit]) -> FileText:
        """Return the text with parts of `plain` replaced; they may not overlap."""
        found = self
        for span in sorted(spans, key=lambda one: (one.start, one.end), reverse=True):
            found = found._with_span(span)
        return replace(found, encoding=self._encoding_for(found.raw))

    def with_whole(self, new: str, *, own_end: bool = True) -> FileText:
        """Return the text with everything replaced; with `own_end`, empty lines before and after it are its own."""
        plain, given = self.plain, plain_lines(new)
        if own_end and plain.strip() and given.strip():
            (before, _, after), (_, middle, _) = margins(plain), margins(given)
            given = before + middle + after
        return self.with_spans([TextEdit(0, len(plain), given)])

    def data(self, path: str) -> bytes:
        """Return the bytes.

        Raises:
            InputError: The file's encoding has no room for a character, or its text could not be read again.
        """
        try:
            made = self.mark + self.raw.encode(self.encoding)
        except UnicodeError as error:
            at = error.start if isinstance(error, UnicodeEncodeError) else 0
            raise InputError(
                f"{path} is in {self.encoding}, which has no {self.raw[at : at + 1]!r}",
                hint="Write it with characters of that encoding.",
            ) from None
        again = decode_file(made)
        if again is None or (again.raw, again.mark) != (self.raw, self.mark):
            raise InputError(
                f"{path} could not be read again as text in {self.encoding} with what it is to hold",
                hint="Leave out control characters, and leave the file's encoding as it is declared.",
            )
        return made

    def _with_span(self, span: TextEdit) -> FileText:
        contents, ends = _split(self.raw)
        first, column = _place(contents, span.start)
        last, until = _place(contents, span.end)
        new = plain_lines(span.new)
        if span.start == 0 and new.startswith(_MARK) and not self.raw.startswith(_MARK):
            new = new[1:]
        old_lines = contents[first : last + 1]
        new_lines = (contents[first][:column] + new + contents[last][until:]).split("\n")
        kept = _ends(old_lines, ends[first : last + 1], new_lines, _usual(ends, first))
        before = ends[first - 1] if first else ""
        for number, content in enumerate(new_lines):
            if before == "\r" and not content and kept[number] == "\n":  # the two would be read as one end
                kept[number] = "\r"
            before = kept[number]
        if before == "\r" and contents[last + 1 : last + 2] == [""] and ends[last + 1] == "\n":
            kept[-1] = "\r\n"  # so that the line feed after it stays an end of its own
        raw = [content + end for content, end in zip(contents, ends, strict=True)]
        raw[first : last + 1] = [content + end for content, end in zip(new_lines, kept, strict=True)]
        return replace(self, raw="".join(raw))

    def _encoding_for(self, raw: str) -> str:
        """The encoding of a changed text: the present one, unless it declares another."""
        declared = _declared(raw)
        return self.encoding if self.mark or declared == _declared(self.raw) else declared or "utf-8"


def decode_file(data: bytes) -> FileText | None:
    """Return a file's bytes as text, or `None` where they are no text that can be encoded again byte for byte."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], encoding, mark)
    if b"\0" in data:
        return None
    declared = _declared(data[:_HEAD].decode("latin-1"))
    found = _decoded(data, declared, b"") if declared is not None else None
    return found or _decoded(data, "utf-8", b"")


def new_text(text: str) -> FileText:
    """Return the text of a new file: in the encoding it declares, else UTF-8."""
    if text.startswith(_MARK):
        return FileText(text[1:], mark=codecs.BOM_UTF8)
    return FileText(text, _declared(text) or "utf-8")


def plain_lines(text: str) -> str:
    """Return a text in which every line ends in a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def margins(plain: str) -> tuple[str, str, str]:
    """Return a text in three parts: the empty lines it begins with, what it says, and the line ends it ends with."""
    lines = plain.split("\n")
    full = [number for number, line in enumerate(lines) if line.strip()]
    if not full:
        return plain, "", ""
    before, middle = "".join(f"{line}\n" for line in lines[: full[0]]), "\n".join(lines[full[0] : full[-1] + 1])
    return before, middle, plain[len(before) + len(middle) :]


def declaration_lines(plain: str) -> tuple[str, ...]:
    """Return the first lines of a file up to the one that declares its encoding; none where it declares none."""
    if _declared(plain) is None:
        return ()
    first, second = [*plain.split("\n", 2), ""][:2]
    return (first,) if _DECLARED.match(first) or _XML.match(first) else (first, second)


def _decoded(data: bytes, encoding: str, mark: bytes) -> FileText | None:
    try:
        raw = data.decode(encoding)
        parts = [raw] if encoding in _PLAIN else [line + end for line, end in zip(*_split(raw), strict=True)]
        made = b"".join(part.encode(encoding) for part in parts)
    except (UnicodeError, LookupError):
        return None
    return None if "\0" in raw or made != data else FileText(raw, encoding, mark)


def _declared(text: str) -> str | None:
    """The encoding that a text declares, by its usual name; `None` where it declares none that there is."""
    head = text[:_HEAD]
    first, second = [*_END.split(head, maxsplit=2), ""][:2]
    found = _DECLARED.match(first) or _XML.match(head)
    if found is None and _COMMENT.match(first):
        found = _DECLARED.match(second)
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1]).name
        "".encode(name)  # a codec may be one of bytes, or of no use at all
    except (LookupError, ValueError):
        return None
    if name in _SLOW:
        return None
    return "utf-8" if name == "utf-8-sig" else name


def _split(raw: str) -> tuple[list[str], list[str]]:
    """Return the text of each line, and its end; the last one ends in nothing."""
    return _END.split(raw), [*_END.findall(raw), ""]


def _place(contents: Sequence[str], offset: int) -> tuple[int, int]:
    """The line and the column of an offset in the plain text."""
    for number, content in enumerate(contents):
        if offset <= len(content):
            return number, offset
        offset -= len(content) + 1
    return len(contents) - 1, len(contents[-1])


def _usual(ends: Sequence[str], line: int) -> str:
    """Return the end of a new line: that of the line before it, or of the one after it."""
    near = [end for end in (*ends[line::-1], *ends[line:]) if end]
    return near[0] if near else "\n"


def _ends(old: Sequence[str], ends: Sequence[str], new: Sequence[str], usual: str) -> list[str]:
    """Return the end of each new line: that of the old line that it equals, or replaces."""
    if len({*ends[:-1]}) <= 1:
        between = ends[0] if len(ends) > 1 else usual
        return [*[between] * (len(new) - 1), ends[-1]]
    most = min(len(old), len(new))
    head = next((at for at in range(most) if old[at] != new[at]), most)
    tail = next((at for at in range(most - head) if old[-1 - at] != new[-1 - at]), most - head)
    found = list(ends[:head])
    there, given = old[head : len(old) - tail], new[head : len(new) - tail]
    matcher = SequenceMatcher(None, there, given, autojunk=max(len(there), len(given)) > _COMPARED)
    for _, first, last, start, end in matcher.get_opcodes():
        near = ends[head + first : head + last] or [found[-1] if found else usual]
        found += [near[min(number, len(near) - 1)] for number in range(end - start)]
    found += ends[len(ends) - tail :] if tail else []
    return [*[end or usual for end in found[:-1]], ends[-1]]
