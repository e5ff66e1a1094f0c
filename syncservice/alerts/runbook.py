"""docs/alerts.md, written from the catalogue: `python -m syncservice.alerts.runbook`.

It is English whatever the reader's language, as all documentation is.
"""

import sys
from collections.abc import Iterator, Mapping

from django.conf import settings
from django.utils import translation

from syncservice.alerts.catalogue import FAMILIES, NETWORK, OTHER, anchor_of
from syncservice.alerts.entries.entry import Entry

_INTRODUCTION = """\
# Alerts

What every code means, why it happens and what helps. Alerts, a mailbox's page and the command line
show the code. A name is the one that Exchange Web Services, or the product whose features this
service follows, has for it; `A01` and the like number that product's alerts.

This page is written by `python -m syncservice.alerts.runbook > docs/alerts.md`.
"""
_NETWORK_INTRODUCTION = (
    "On the way to a mail server, whatever it speaks. The server is left alone for a while, and "
    "its mailboxes stay enabled."
)


def as_markdown() -> str:
    """Return the whole page."""
    with translation.override("en"):
        return "\n".join([_INTRODUCTION, *_contents(), *_chapters()])


def _contents() -> Iterator[str]:
    yield "## Contents\n"
    yield f"- [Network](#network): {_links(NETWORK)}"
    for family in (*FAMILIES, OTHER):
        links = _links(family.entries)
        yield f"- [{family.title}](#{family.anchor})" + (f": {links}" if links else "")
    yield ""


def _links(entries: Mapping[str, Entry]) -> str:
    return ",\n  ".join(f"[{code}](#{anchor_of(code)})" for code in entries)


def _chapters() -> Iterator[str]:
    yield _heading(2, ["network"], "Network")
    yield f"{_NETWORK_INTRODUCTION}\n"
    yield from _sections(NETWORK)
    for family in (*FAMILIES, OTHER):
        yield _heading(2, [family.anchor], family.title)
        yield "Of any code that is not listed:\n"
        yield _body(family.any)
        yield from _sections(family.entries)


def _sections(entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yield a section for each entry, under all codes that share it."""
    codes: dict[int, list[str]] = {}
    for code, entry in entries.items():
        codes.setdefault(id(entry), []).append(code)
    for sharing in codes.values():
        yield _heading(3, [anchor_of(code) for code in sharing], ", ".join(sharing))
        yield _body(entries[sharing[0]])


def _heading(level: int, anchors: list[str], title: str) -> str:
    places = "".join(f'<a id="{anchor}"></a>' for anchor in anchors)
    return f"{places}\n\n{'#' * level} {title}\n"


def _body(entry: Entry) -> str:
    known_as = [f"Known as: {entry.name}"] if entry.name else []
    reference = [f"Reference: {entry.reference}"] if entry.reference else []
    facts = [f"Cause: {entry.cause}", f"Remedy: {entry.remedy}", *known_as, *reference]
    return f"{entry.meaning}\n\n" + "".join(f"- {fact}\n" for fact in facts)


if __name__ == "__main__":
    settings.configure(USE_I18N=False)  # no translation, so no applications are needed
    sys.stdout.write(as_markdown())
