"""Which file a change in an answer is meant for. A change is never made to a file that merely looks like it.

A label is a line, or the opening of a block, that holds a path and little else. It names a file that is there, else a
new one; what may be meant by it but is not it is left alone, and said. Pure functions of text.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sale.agents.tools.workspace.listing import named_in
from sale.agents.tools.workspace.tree import PATH_BYTES, Tree, check_path
from sale.errors import InputError

_BEFORE = re.compile(
    r"^(?:#+|[-*+>]|\d+[.)]|//+|/\*|<!--|--|[-+]{3})\s+|^(?:in |new )?(?:file|file ?name|file ?path|path)\s*:\s*",
    re.IGNORECASE,
)
_AFTER = re.compile(r"(?<!\s)(?:\s*+(?::|\*/|-->)|\s++\([^()]*+\))$")
_AROUND = re.compile(r"^(\*\*|__|[`*\"'])(.+)\1$")
_PATH = re.compile(r"(?=[^/]*+/)[^\s:*?\"<>|`]*+(?<![/.])|[^\s:*?\"<>|`]*\.\w{1,8}")
_ENDING = re.compile(r"\.\w{1,8}$")
_DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")
_URL = re.compile(r"(?<!\w)\w+://\S+")
_TOKEN = re.compile(r"`([^`\n]+)`|(?<![\w./+-])([\w./+-]+\.\w{1,8})\b")
_KNOWN_ENDINGS = frozenset({
    "bash", "c", "cc", "cfg", "cpp", "cs", "css", "csv", "go", "h", "hpp", "html", "ini", "java", "js", "json", "jsx",
    "kt", "lua", "md", "mjs", "php", "pl", "py", "pyi", "r", "rb", "rs", "rst", "scala", "sh", "sql", "swift", "toml",
    "ts", "tsx", "txt", "vue", "xml", "yaml", "yml",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnplacedChange:
    """A change whose file is not there, and why it is not made to another one."""

    path: str
    """As the answer calls it."""
    why: str


Target = str | UnplacedChange


class Targets:
    """The files of a tree by what an answer may call them."""

    def __init__(self, tree: Tree, likely: Sequence[str] = ()) -> None:
        """Keep the paths in comparable form.

        Args:
            tree: The files there are.
            likely: Files that come first where a name alone could be that of several.
        """
        self._tree = tree
        self._likely = likely
        self._keys = {path: _key(path) for path in tree}
        self._folders = {key[:at] for key in self._keys.values() for at, sign in enumerate(key) if sign == "/"}
        self._endings = _KNOWN_ENDINGS | {path.rpartition(".")[2] for path in tree if "." in path}

    def find_label(self, line: str) -> Target | None:
        """Return the file that a line names, where it holds a path and little else; `None` where it is other text."""
        forms = list(_forms(line)) if len(line) <= PATH_BYTES else []
        for form in forms:
            if form in self._tree:
                return form
        if not forms or "://" in line:
            return None
        for form in reversed(forms):
            found = self._known(form)
            if found is not None:
                return found
        last = forms[-1]
        quoted = _AROUND.match(_AFTER.sub("", line.strip())) is not None and _ENDING.search(last) is not None
        if _PATH.fullmatch(last) or quoted or self._in_folder(last):
            return _new(last)
        return None

    def find_mentioned(self, text: str) -> Target | tuple[str, ...]:
        """Return the files of the tree that a text names, the last one first; else the one new file it names."""
        text = _URL.sub(" ", text)
        if known := named_in(text, self._tree):
            return known
        names = ((quoted or plain).strip() for quoted, plain in _TOKEN.findall(text))
        found = dict.fromkeys(name for name in names if "." in name and name.rpartition(".")[2] in self._endings)
        return _new(next(iter(found))) if len(found) == 1 else ()

    def _known(self, name: str) -> Target | None:
        """The file of the tree that a path in another form stands for, or why it stands for none."""
        plain = _key(name).removeprefix("./")
        exact = self._of({plain})
        if not exact and plain[:2] in {"a/", "b/"}:
            exact = self._of({plain[2:]})
        found = exact or self._by_end(plain)
        if found:
            first = next((path for path in self._likely if path in found), found[0])
            if len(found) == 1 or first in self._likely:
                return first
            several = " or ".join(repr(path) for path in sorted(found)[:3])
            return UnplacedChange(name, f"{name!r} may be {several}: give its path whole")
        near = [path for path, key in self._keys.items() if key.casefold() == plain.casefold()]
        return UnplacedChange(name, f"there is no file {name!r}; there is {near[0]!r}") if near else None

    def _of(self, keys: set[str]) -> list[str]:
        return [path for path, key in self._keys.items() if key in keys]

    def _by_end(self, name: str) -> list[str]:
        """Files whose paths end in the given one, or the one that it ends in."""
        folder = name.rpartition("/")[0]
        if not folder or folder not in self._folders:
            longer = [path for path, key in self._keys.items() if key.endswith(f"/{name}")]
            if longer:
                return longer
        outside = name.startswith("/")
        if not outside and ("/" not in name or name.partition("/")[0] in self._folders):
            return []
        # Below the name of the repository itself, or as a program printed it.
        inner = [path for path, key in self._keys.items() if name.endswith(f"/{key}") and (outside or "/" in key)]
        return [max(inner, key=len)] if inner else []

    def _in_folder(self, name: str) -> bool:
        """Return whether a path with spaces in it is of a file in a directory that there is."""
        return _ENDING.search(name) is not None and name.rpartition("/")[0] in self._folders


def info_label(info: str) -> str:
    """Return what the opening of a block says beside its language: `python:a.py`, `python title="a b.py"`."""
    text = info.strip()
    if named := re.search(r"\b(?:title|file|filename|path)=(\"[^\"]+\"|'[^']+'|\S+)", text):
        return named[1]
    tag, colon, rest = text.partition(":")
    if colon and re.fullmatch(r"[\w+#-]*", tag):
        return rest
    first, _, rest = text.partition(" ")
    if rest and re.fullmatch(r"[\w+#-]+", first):
        return rest.strip()
    return text if "." in text or "/" in text else ""


def _forms(line: str) -> Iterator[str]:
    """A line as it is, and with what stands around a path taken off, one thing after the other."""
    form = line.strip("\r\n")
    if form.strip() != form:
        yield form
    form = form.strip()
    while form:
        yield form
        if form[:1] == form[-1:] == '"' and "\\" in form:
            yield _unquoted(form)  # as git writes a name with signs
        around = _AROUND.match(form)
        shorter = around[2] if around else _BEFORE.sub("", form, count=1)
        if shorter == form:
            shorter = _AFTER.sub("", form)
        if shorter == form:
            return
        form = shorter.strip()


def _unquoted(form: str) -> str:
    try:
        return str(ast.literal_eval(f"b{form}").decode())
    except (ValueError, SyntaxError):
        return form


def _key(path: str) -> str:
    """A path in the one form of those that look the same."""
    if path.isascii() and " " not in path and "\t" not in path and "\\" not in path:
        return path
    path = _DRIVE.sub("", path)
    return " ".join(unicodedata.normalize("NFC", path).replace("\\", "/").split())


def _new(path: str) -> Target:
    try:
        return check_path(path)
    except InputError as error:
        return UnplacedChange(path, error.message)
