"""The program that makes text of a page. Given to another process as text, never imported by this one.

Parsers of HTML and PDF are large, and what they are fed here was written by strangers: they may take for ever, eat all
memory or crash. So they do it in a process of their own, under limits, with an empty environment.

Standard input: JSON with `path` (where to find packages), `kind` (`html`, `pdf` or `plain`), `charset` (what the server
says, or null), `characters` (the most that is wanted) and `body` (base64). Standard output: JSON with `title` and
`text`, or with `error`.
"""

import base64
import codecs
import importlib
import io
import json
import logging
import re
import sys

BARRED_CODECS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf_7", "undefined"})
"""Text codecs no page is written in; some take very long."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LIKELY = [
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1256",
    "koi8_r",
    "shift_jis",
    "euc_jp",
    "gb18030",
    "big5",
    "euc_kr",
]
"""Likely encodings of pages that declare none."""
META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
META_BYTES = 4096
TITLE_CHARACTERS = 200


def decoded(body: bytes, charset: str | None, *, html: bool) -> str:
    """Bytes as text: by their mark, by what is said of them, as UTF-8, by their looks."""
    stated = META.search(body[:META_BYTES]) if html else None
    marked = next((name for mark, name in MARKS if body.startswith(mark)), None)
    for name in (marked, charset, stated.group(1).decode("ascii", "replace") if stated else None, "utf-8"):
        if name and codec_of(name):
            try:
                return body.decode(codec_of(name))
            except (UnicodeError, LookupError):
                continue
    guess = importlib.import_module("charset_normalizer").from_bytes(body[:20000], cp_isolation=LIKELY).best()
    return body.decode(guess.encoding if guess else "cp1252", errors="replace")


def codec_of(name: str) -> str:
    """Python's name of a character set; empty where there is none, or none for pages."""
    # What the web calls Latin-1 or ASCII is read by every browser as Windows' superset of both.
    name = "cp1252" if name.lower() in {"iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii"} else name
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    return "" if found.replace("-", "_") in BARRED_CODECS else found


def of_html(body: bytes, charset: str | None, characters: int) -> dict[str, str]:
    """The main text of a page; all of its text where no part stands out."""
    trafilatura = importlib.import_module("trafilatura")
    text = decoded(body, charset, html=True)
    tree = trafilatura.load_html(text)
    if tree is None:  # a fragment is no page to it
        tree = trafilatura.load_html(f"<html><body><div>{text}</div></body></html>")
    if tree is None:
        return {"title": "", "text": ""}
    # The library's own title comes with dates and authors, which take longer than all the rest.
    title = tree.findtext(".//title") or tree.findtext(".//h1") or ""
    whole = trafilatura.html2txt(tree)
    found = trafilatura.bare_extraction(tree, include_comments=False)
    return {"title": " ".join(title.split()), "text": ((found.text if found else "") or whole or "")[:characters]}


def of_pdf(body: bytes, _: str | None, characters: int) -> dict[str, str]:
    """The text of a document, page after page, until there is enough."""
    pypdf = importlib.import_module("pypdf")
    reader = pypdf.PdfReader(io.BytesIO(body))
    if reader.is_encrypted and not reader.decrypt(""):
        return {"error": "it is encrypted, and needs a password"}
    pages: list[str] = []
    for page in reader.pages:
        pages.append(page.extract_text())
        if sum(map(len, pages)) > characters:
            break
    title = reader.metadata.title if reader.metadata else ""
    return {"title": str(title or ""), "text": "\n\n".join(pages)[:characters]}


def of_plain(body: bytes, charset: str | None, characters: int) -> dict[str, str]:
    """Text as it is."""
    return {"title": "", "text": decoded(body, charset, html=False)[:characters]}


def main() -> None:
    """Do it."""
    logging.disable(logging.CRITICAL)
    task = json.loads(sys.stdin.read())
    sys.path.extend(task["path"])
    read = {"html": of_html, "pdf": of_pdf, "plain": of_plain}[task["kind"]]
    try:
        made = read(base64.b64decode(task["body"]), task["charset"], task["characters"])
    except ImportError as error:
        made = {"error": f"what reads it does not load; install sale[search] again ({error})"}
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of what it was never meant to be fed
        made = {"error": f"it cannot be read ({type(error).__name__})"}
    made |= {"title": made.get("title", "")[:TITLE_CHARACTERS]}
    sys.stdout.write(json.dumps(made))


if __name__ == "__main__":
    main()
