"""What HTML says, as plain text: for the readers of a mail that show no HTML.

Markup is cut by one pattern and in one pass: the standard library's html.parser takes time
quadratic in markup that is broken, and a letter's HTML quotes strangers. What has no end ends with
the text, as in a browser.
"""

import html
import re

_MARKUP = re.compile(r"<(?:(?P<comment>!--)|(?P<end>/?)(?P<name>[a-z][a-z0-9]*)(?P<rest>[^<>]*)>)"
                     r"|<[!?/][^<>]*>", re.IGNORECASE)  # fmt: skip
_LINK = re.compile(r"\bhref\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\balt\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_REACHABLE = re.compile(r"(?:https?|mailto|tel):\S", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f]+")

_UNSEEN = {"script", "style", "title"}
#: Elements that stand on lines of their own, and those with an empty line around them.
_LINES = {"address", "article", "dd", "div", "dt", "footer", "header", "hr", "li", "section", "tr"}
_PARAGRAPHS = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
#: Spaces that stay, until the lines are made: those of <pre>, and no-break spaces anyway.
_KEPT = "\xa0"


def text_of(markup: str) -> str:
    """Return the text of a piece of HTML, '' if it shows none; lines end with LF, none is cut."""
    reader = _Reader()
    position = 0
    while (match := _MARKUP.search(markup, position)) is not None:
        reader.read_text(markup[position : match.start()])
        position = match.end()
        name = (match["name"] or "").lower()
        if match["comment"]:
            position = _behind("-->", markup, position)
        elif name in _UNSEEN and not match["end"]:
            position = _behind(f"</{name}[^<>]*>", markup, position)
        elif match["end"]:
            reader.read_end(name)
        elif name:
            reader.read_start(name, match["rest"])
    reader.read_text(markup[position:])
    return reader.text()


def _behind(end: str, markup: str, position: int) -> int:
    found = re.compile(end, re.IGNORECASE).search(markup, position)
    return found.end() if found is not None else len(markup)


class _Reader:
    """Takes text and tags one by one and puts the text together."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._breaks = 0  # line breaks before what comes next
        self._preformatted = 0  # <pre> that are open
        self._link = ""  # where the link that is open leads
        self._link_start = 0

    def read_text(self, written: str) -> None:
        if self._preformatted:
            laid_out = html.unescape(written.replace("\r\n", "\n")).replace("\t", " " * 4)
            self._write(laid_out.replace(" ", _KEPT))
        else:
            self._write(html.unescape(_SPACE.sub(" ", written)))

    def read_start(self, name: str, rest: str) -> None:
        self._break_around(name)
        if name == "a":
            self._end_link()
            link = html.unescape(_first(_LINK, rest)).strip()
            self._link = link if _REACHABLE.match(link) else ""
            self._link_start = len(self._pieces)
        elif name == "img":
            self._write(html.unescape(_first(_ALTERNATIVE, rest)))
        elif name == "br":
            self._write("\n")
        elif name == "li":
            self._write("- ")
        elif name == "pre":
            self._preformatted += 1

    def read_end(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in {"td", "th"}:
            self._write(" ")
        elif name == "pre":
            self._preformatted = max(self._preformatted - 1, 0)
        self._break_around(name)

    def text(self) -> str:
        self._end_link()
        lines = [re.sub(" +", " ", line).strip(" ") for line in "".join(self._pieces).split("\n")]
        joined = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
        return joined.strip("\n").replace(_KEPT, " ").rstrip()

    def _write(self, text: str) -> None:
        if not text or (text == " " and self._breaks):  # spaces between elements are for the eye
            return
        self._pieces.append("\n" * self._breaks + text)
        self._breaks = 0

    def _break_around(self, name: str) -> None:
        wanted = 2 if name in _PARAGRAPHS else int(name in _LINES)
        self._breaks = max(self._breaks, wanted)

    def _end_link(self) -> None:
        """Say where a link leads, unless its own words do."""
        link, self._link = self._link, ""
        shown = "".join(self._pieces[self._link_start :]).strip() if link else ""
        if link and shown not in {link, link.partition(":")[2], link.partition("://")[2]}:
            self._write(f" <{link}>" if shown else f"<{link}>")


def _first(pattern: re.Pattern[str], attributes: str) -> str:
    found = pattern.search(attributes)
    return next(filter(None, found.groups()), "") if found is not None else ""
