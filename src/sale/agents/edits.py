"""The changes in a model's answer: whole files, parts of them and replaced pieces, found by their form.

What small models write is taken as it is meant where that is clear: a piece whose indentation or white space is not
the file's, functions without the file around them, a patch, a block without a path where one file fits. Whatever a
change does not speak of stays byte for byte as it is, and where its file is not clear it is not made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sale.agents.definitions import defined_names
from sale.agents.merging import merge, without_itself
from sale.agents.pieces import has_mark, pieces_in, place_piece
from sale.agents.targets import Target, Targets, UnplacedChange, info_label
from sale.agents.tools.workspace.texts import FileText, declaration_lines, new_text, plain_lines
from sale.agents.tools.workspace.tree import Tree, WorkingCopy
from sale.errors import InputError

MAX_ANSWER = 100_000
HELD_BACK_LINES = 8
"""A file with fewer lines may be replaced by one of less than half its lines."""
_FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}+|~{3,}+)(?P<info>[^\n`]*+)$")
_UNDERLINE = re.compile(r"^={5,} *$", re.MULTILINE)
_DOCUMENT = (".rst", ".md", ".txt", ".markdown", ".adoc")
_TALK = frozenset({"sh", "bash", "shell", "zsh", "console", "text", "txt", "output", "log", "cmd", "powershell"})
_PATCH = frozenset({"diff", "patch"})
_PATCH_FILE = re.compile(r"^--- (?P<old>[^\n]+)\n\+\+\+ (?P<new>[^\n]+)$", re.MULTILINE)
_HUNK = re.compile(r"^@@[^\n]*$", re.MULTILINE)
_LEFT_OUT = re.compile(
    r"^\s*+(?:#|//|/\*|--|<!--|;|%|\{/\*)?\s*+(?:\.\.\.|…)?[\s(\[]*+(?:the\s++)?"
    r"(?:rest|existing|remaining|other|previous|same)\b.{0,300}"
    r"(?:\.\.\.|…|unchanged|as before|stays?|remains?|the same|same as|here|goes)[\s)\]*/>}.-]{0,40}$",
    re.IGNORECASE,
)
_TOP = re.compile(
    r"^(?:(?:export|default|pub|public|private|protected|internal|static|async|final|abstract|unsafe|inline)[ \t]+)"
    r"{0,4}"
    r"(?:(?:function\*?|class|interface|type|enum|struct|trait|func|fn|def|sub|module|const|let|var|val)[ \t]+(\w+)"
    r"|[A-Za-z_][\w:<>]{0,60}[ \t*&]{1,4}(\w+)\([^;{}\n]{0,300}\)[ \t]*(?:\{|$))",
    re.MULTILINE,
)
_COMMENT = ("#", "//", "/*", "--", "<!--", ";", "%", "{/*", "...", "…")


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file, whole, or some of its functions and classes."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """A piece of a file and what takes its place."""

    path: str
    old: str
    new: str


Edit = WholeFile | Replacement | UnplacedChange


def edits_in(answer: str, tree: Tree, likely: Sequence[str], *, cut: bool = False) -> tuple[Edit, ...]:
    """Return the changes an answer hands in, in order.

    Args:
        answer: Any text.
        tree: The files there are.
        likely: Files that a change without a path may be meant for, likeliest first.
        cut: The answer goes on, but was cut here: of a block whose end is not there, only what is whole counts.
    """
    cut = cut or len(answer) > MAX_ANSWER
    return tuple(_AnswerParser(tree, likely).of(plain_lines(answer[:MAX_ANSWER]), cut=cut))


def apply_edits(edits: Sequence[Edit], copy: WorkingCopy, fixed: frozenset[str]) -> list[str]:
    """Make the changes; return why some could not be made.

    Args:
        edits: The changes.
        copy: What is changed.
        fixed: Files that are not to be changed.
    """
    faults: list[str] = []
    for edit in edits:
        if isinstance(edit, UnplacedChange):
            faults.append(edit.why)
            continue
        try:
            if fixed & {edit.path, copy.resolve(edit.path)}:
                faults.append(f"{edit.path} is a test, and is not to be changed")
                continue
            copy.write(edit.path, _changed(edit, copy.text(edit.path)).data(edit.path))
        except InputError as error:
            faults.append(str(error))
    return faults


def _changed(edit: WholeFile | Replacement, old: FileText | None) -> FileText:
    if isinstance(edit, Replacement):
        if old is None:
            raise InputError(f"there is no file {edit.path!r}")
        return old.with_spans([place_piece(old.plain, edit.old, edit.new, edit.path)])
    new = edit.text if edit.text.endswith("\n") else f"{edit.text}\n"
    if old is None:
        return new_text(new)
    plain = old.plain
    _check_nothing_is_left_out(plain, new, edit.path)
    if edit.path.endswith((".py", ".pyi")):
        new = without_itself(new, edit.path, plain)
        spans = merge(plain, new, edit.path)
        if spans is not None:
            return old.with_spans(spans)
    else:
        _check_enough_is_left(plain, new, edit.path)
    return old.with_whole(_declared_as(plain, new))


def _declared_as(old: str, new: str) -> str:
    """A file with the declaration of its encoding, should it have been left out."""
    lines = declaration_lines(old)
    if not lines or declaration_lines(new):
        return new
    first, _, rest = new.lstrip("\n").partition("\n")
    return "\n".join([*lines, rest if first == lines[0] else new.lstrip("\n")])


def _check_nothing_is_left_out(old: str, new: str, path: str) -> None:
    there = {line.strip() for line in old.split("\n")}
    for line in new.split("\n"):
        plain = line.strip()
        if plain.startswith(_COMMENT) and plain not in there and _LEFT_OUT.match(plain):
            raise InputError(
                f"what is handed in for {path} leaves a part out ({plain[:80]!r})",
                hint="Hand in all of it, or the lines to be replaced.",
            )


def _check_enough_is_left(old: str, new: str, path: str) -> None:
    """Refuse what can only be a part of a file whose parts cannot be told."""
    before, after = ([line.strip() for line in text.split("\n") if line.strip()] for text in (old, new))
    there, given = _top_names(old), _top_names(new)
    lost = [name for name in there if name not in given]
    part = lost and after and before[0] != after[0] and len(lost) < len(there)
    if part and not path.endswith(_DOCUMENT):
        raise InputError(
            f"what is handed in for {path} lacks {', '.join(lost)}, and does not begin as the file does",
            hint="Hand in the whole file, or the lines to be replaced.",
        )
    kept = set(after)
    left = sum(line in kept for line in before)
    if len(before) >= HELD_BACK_LINES and left * 2 < len(before) and len(after) * 2 < len(before):
        raise InputError(
            f"what is handed in for {path} would remove {len(before) - left} of its {len(before)} lines",
            hint="Hand in the whole file, or the lines to be replaced.",
        )


def _top_names(text: str) -> list[str]:
    """Return the names that a program defines outside of all else, in many languages, as far as its lines tell."""
    return list(dict.fromkeys(name for found in _TOP.findall(text) for name in found if name))


@dataclass(frozen=True, slots=True)
class _FencedBlock:
    """A fenced block of an answer, with the text before it."""

    before: str
    info: str
    body: str
    cut: bool = False
    """Its end was cut off."""


class _AnswerParser:
    """The reading of one answer."""

    def __init__(self, tree: Tree, likely: Sequence[str]) -> None:
        self._tree, self._likely = tree, likely
        self._targets = Targets(tree, likely)

    def of(self, text: str, *, cut: bool) -> Iterator[Edit]:
        found = False
        for block in _blocks(text, cut=cut):
            for edit in self._edits(block):
                found = True
                yield edit
        if not found:
            edits = list(self._pieces(text, None))
            yield from edits
            rest = text[max((piece.end for piece in pieces_in(text)), default=0) :]
            if cut and edits and has_mark(rest):
                yield _cut_off(edits[-1].path)

    def _edits(self, block: _FencedBlock) -> Iterator[Edit]:
        tag = block.info.strip().split(" ")[0].casefold()
        target = self._target(block)
        path = target.path if isinstance(target, UnplacedChange) else target or ""
        if tag in _TALK and not path.endswith((".sh", ".bash", ".txt", ".md")):
            return  # a command or its output
        if not path.endswith((".diff", ".patch")) and (tag in _PATCH or _PATCH_FILE.match(block.body)):
            edits = list(self._patch(block.body, target))
            yield from edits[:-1] if block.cut else edits
            if block.cut and edits:
                yield _cut_off(edits[-1].path)
            return
        if any(pieces_in(block.body)):
            edits = list(self._pieces(block.body, target))
            yield from edits
            if block.cut and edits:
                yield _cut_off(edits[-1].path)
            return
        if target is None or not block.body.strip():
            return
        if block.cut:
            yield _cut_off(path)
            return
        if self._is_half(block.body, path):
            return  # half a replacement is none
        first, _, rest = block.body.partition("\n")
        body = rest if self._labelled_comment(first) == target else block.body
        yield target if isinstance(target, UnplacedChange) else WholeFile(target, body.lstrip("\n"))

    def _is_half(self, body: str, path: str) -> bool:
        """Return whether a block is a piece without one of its marks; headings of documents have lines like them."""
        if has_mark(body):
            return True
        there = self._tree[path].text if path in self._tree else None
        usual = path.endswith(_DOCUMENT) or _UNDERLINE.search(there or "") is not None
        return not usual and _UNDERLINE.search(body) is not None

    def _pieces(self, text: str, target: Target | None) -> Iterator[Edit]:
        """Replacements, each for the file named last before it."""
        end = 0
        for piece in pieces_in(text):
            block = _FencedBlock(text[end : piece.start], "", text[piece.start : piece.end])
            label = self._target(block) if target is None else self._line_above(block.before)
            target, end = label or target, piece.end
            if isinstance(target, UnplacedChange):
                yield target
            elif target is not None:
                yield Replacement(target, piece.old, piece.new) if piece.clear else _unclear(target)

    def _patch(self, body: str, target: Target | None) -> Iterator[Edit]:
        """The hunks of a patch, as pieces: the numbers of their lines are rarely right."""
        headers = list(_PATCH_FILE.finditer(body))
        if not headers:
            yield from _hunks(body, target)
            return
        ends = [header.start() for header in headers[1:]] + [len(body)]
        for header, end in zip(headers, ends, strict=True):
            old, new = (header[side].strip() for side in ("old", "new"))
            named = old if new.startswith("/dev/null") else new
            # A time may follow the name, after a tab; but a name may have a tab.
            found = (self._targets.find_label(name) for name in (named, named.split("\t")[0]))
            label = next(
                (one for one in found if one is not None), UnplacedChange(named, f"there is no file {named!r}")
            )
            if new.startswith("/dev/null"):
                label = UnplacedChange(named, f"{named!r} cannot be removed by a patch")
            text = body[header.end() + 1 : end]
            if old.startswith("/dev/null") and isinstance(label, str) and label not in self._tree:
                yield WholeFile(label, "".join(f"{line[1:]}\n" for line in text.split("\n") if line.startswith("+")))
            else:
                yield from _hunks(text, label)

    def _target(self, block: _FencedBlock) -> Target | None:
        """The file a block is for: named by a label at its opening, or in the text before it, or the one that fits."""
        label = self._targets.find_label(info_label(block.info)) or self._line_above(block.before)
        label = label or self._labelled_comment(block.body.lstrip("\n").split("\n", 1)[0])
        if label is not None:
            return label
        for text in (_last_line(block.before), block.before.rstrip().rpartition("\n\n")[2], block.before):
            found = self._targets.find_mentioned(text)
            if isinstance(found, UnplacedChange):
                return found
            if isinstance(found, str):
                return None if any(pieces_in(block.body)) else found
            if found:
                return self._fitting((*found, *self._likely), block.body) or self._adding(found[0], block.body)
        fitting = self._fitting(self._likely, block.body)
        if fitting is None and len(self._likely) == 1:
            alone = self._adding(self._likely[0], block.body)
            return alone if isinstance(alone, str) else None
        return fitting

    def _line_above(self, text: str) -> Target | None:
        return self._targets.find_label(_last_line(text))

    def _labelled_comment(self, line: str) -> Target | None:
        """The file that the first line of a block names, where it is a comment."""
        return self._targets.find_label(line) if line.startswith(("#", "//", "/*", "<!--", "--")) else None

    def _fitting(self, paths: Sequence[str], body: str) -> str | None:
        """The first file that holds something of what a block is about."""
        return next((path for path in paths if self._fits(path, body)), None)

    def _fits(self, path: str, body: str) -> bool:
        text = self._tree[path].text if path in self._tree else None
        if text is None:
            return False
        names = frozenset[str]()
        if (piece := next(pieces_in(body), None)) is not None:
            body = piece.old if piece.clear else body
        elif path.endswith(".py"):
            names = defined_names(body)
        if names and (theirs := defined_names(text)):
            return not names.isdisjoint(theirs)
        lines = {line.strip() for line in text.split("\n") if len(line.strip()) > 2}
        return not text.strip() or any(line.strip() in lines for line in body.split("\n"))

    def _adding(self, path: str, body: str) -> Target:
        """A file that a text names, where what is handed in can only add to it."""
        text = self._tree[path].text if path.endswith(".py") else None
        if text is not None and defined_names(text) and defined_names(body):
            return path
        return UnplacedChange(path, f"it is not clear whether {path!r} is meant: put the file's path alone on a line")


def _cut_off(path: str) -> UnplacedChange:
    return UnplacedChange(path, f"the answer was cut before the file ended: {path}")


def _unclear(path: str) -> UnplacedChange:
    return UnplacedChange(path, f"it is not clear where the lines as they are end, in a piece for {path}")


def _blocks(text: str, *, cut: bool) -> Iterator[_FencedBlock]:
    """The fenced blocks of a text; a block in a block, as documents have, belongs to the outer one."""
    lines = text.split("\n")
    before: list[str] = []
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        number += 1
        if opening is None:
            before.append(lines[number - 1])
            continue
        body, depth = list[str](), 1
        while number < len(lines):
            fence = _FENCE.match(lines[number])
            # A shorter fence is content, as is what closes it.
            if fence is not None and fence["fence"].startswith(opening["fence"]):
                depth += 1 if fence["info"].strip() else -1
            number += 1
            if depth == 0:
                break
            body.append(lines[number - 1])
        made = "".join(f"{line}\n" for line in body)
        yield _FencedBlock("\n".join(before), opening["info"], made, cut=cut and depth > 0)
        before = []


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.split("\n")) if line.strip()), "")


def _hunks(text: str, target: Target | None) -> Iterator[Edit]:
    if target is None:
        return
    if isinstance(target, UnplacedChange):
        yield target
        return
    for hunk in _HUNK.split(text)[1:]:
        lines = [line or " " for line in hunk.strip("\n").split("\n") if line[:1] in {"", " ", "+", "-"}]
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] in signs) for signs in (" -", " +"))
        yield Replacement(target, old, new)
