"""What every code means for people: what happened, why, and what helps (REFERENCE 4D).

Codes are stable: they are stored with alerts, and pages link to their anchors in docs/alerts.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from syncservice.alerts.entries import exchange, imap, items, network, own, pop3, smtp
from syncservice.alerts.entries.entry import Entry


@dataclass(frozen=True, slots=True)
class Family:
    """Codes that belong together, and what is said of those among them that nobody described."""

    anchor: str
    title: str  # English: of docs/alerts.md only
    prefixes: tuple[str, ...]  # of the codes, before the dot
    any: Entry
    entries: Mapping[str, Entry]


FAMILIES = (
    Family("exchange", "Exchange", ("exchange",), exchange.ANY, exchange.ENTRIES),
    Family("pop3", "POP3", ("pop3",), pop3.ANY, pop3.ENTRIES),
    Family("imap", "IMAP", ("imap",), imap.ANY, imap.ENTRIES),
    Family("smtp", "SMTP", ("smtp",), smtp.ANY, smtp.ENTRIES),
    Family("visit", "Visits", ("visit",), own.ANY["visit"], own.VISITS),
    Family("mailbox", "Mailboxes", ("mailbox",), own.ANY["mailbox"], own.MAILBOXES),
    Family("profile", "Server profiles", ("profile",), own.ANY["profile"], own.PROFILES),
    Family("email", "Emails", ("email",), own.ANY["email"], own.EMAILS),
    Family(
        "items",
        "Appointments, contacts and tasks",
        ("items", "item"),
        items.ANY,
        {**items.QUESTIONS, **items.ITEMS},
    ),
    Family("sending", "Sending", ("sending",), own.ANY["sending"], own.SENDINGS),
    Family("test", "Tests", ("test",), own.ANY["test"], own.TESTS),
    Family("limit", "Limits", ("slots", "rate", "redis"), own.ANY["limit"], own.LIMITS),
)
OTHER = Family("other", "Other codes", (), own.ANY[""], {})
#: The same behind four prefixes.
NETWORK: Mapping[str, Entry] = network.ENTRIES

ENTRIES: Mapping[str, Entry] = {
    **NETWORK,
    **{code: entry for family in FAMILIES for code, entry in family.entries.items()},
}


def entry_of(code: str) -> Entry:
    """Return what a code means; of one that isn't listed, what its family has in common."""
    return ENTRIES.get(code) or _family_of(code).any


def anchor_of(code: str) -> str:
    """Return where docs/alerts.md tells of a code: "exchange-http-401", or its family's place."""
    if code in ENTRIES:
        return code.replace(".", "-").replace("_", "-")
    return _family_of(code).anchor


def _family_of(code: str) -> Family:
    prefix = code.partition(".")[0]
    return next((family for family in FAMILIES if prefix in family.prefixes), OTHER)
