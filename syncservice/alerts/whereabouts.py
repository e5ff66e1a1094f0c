"""Where a message of a mailbox is: in the CRM and why, or not there and why not."""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from typing import Any

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import ActivityParty, Email
from syncservice.mailboxes.models import DeclinedItem, Mailbox, RemoteItem

_SENDER = ActivityParty.Participation.SENDER
_REASONS = ("accepting_user", "accepting_queue", "correlated_to")  # of an email


class Place(enum.StrEnum):
    IN_THE_CRM = "in the CRM"
    FAILED = "could not be stored"
    DECLINED = "not wanted"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """One message of a mailbox."""

    at: datetime  # received, as far as that is known; else when it was looked at
    sender: str
    subject: str
    place: Place
    why: str  # in words
    item_id: str  # the server's
    email_id: Any = None  # None: it is not in the CRM


@dataclass(frozen=True, slots=True)
class Search:
    """What is known of a message that somebody looks for; '' and None: nothing."""

    sender: str = ""
    subject: str = ""
    message_id: str = ""
    after: datetime | None = None
    before: datetime | None = None

    @classmethod
    def around(cls, at: datetime | None, **known: str) -> "Search":
        """Look a day before and after `at`: servers and senders differ about the time."""
        day = timedelta(days=1)
        return cls(after=at and at - day, before=at and at + day, **known)


def find(mailbox: Mailbox, search: Search, limit: int) -> list[Whereabouts]:
    """Return what is known of messages that fit, the newest first."""
    found = (
        *_stored(mailbox, search, limit),
        *_declined(mailbox, search, limit),
        *_failed(mailbox, search, limit),
    )
    return nlargest(limit, found, key=lambda one: one.at)


def why_stored(email: Email) -> str:
    """Say in one sentence why an email is in the CRM (F115)."""
    accepting = email.accepting_user or email.accepting_queue
    sentences = [_("Accepted for %(who)s.") % {"who": accepting} if accepting else _("Sent.")]
    if email.correlated_to is not None:
        sentences.append(
            _("It answers “%(subject)s”, found by %(method)s.")
            % {
                "subject": email.correlated_to.subject,
                "method": email.get_correlation_display()
                + (f" ({email.correlation_score})" if email.correlation_score else ""),
            }
        )
    return " ".join(sentences)


def _stored(mailbox: Mailbox, search: Search, limit: int) -> Iterator[Whereabouts]:
    wanted = _within(search, "at")
    if search.message_id:
        wanted &= Q(email__message_id=search.message_id)
    if search.subject:
        wanted &= Q(email__subject__icontains=search.subject)
    if search.sender:
        wanted &= Q(
            email__parties__participation=_SENDER,
            email__parties__address__iexact=search.sender,
        )
    at = Coalesce("email__received_at", "email__sent_at", "linked_at")  # sent mail: nobody got it
    links = RemoteItem.objects.annotate(at=at).filter(wanted, mailbox=mailbox, email__isnull=False)
    links = links.select_related(*(f"email__{relation}" for relation in _REASONS))
    for link in links.prefetch_related("email__parties").order_by("-pk")[:limit]:
        email = link.email
        assert email is not None, "links without one were left out"
        senders = [str(one) for one in email.parties.all() if one.participation == _SENDER]
        why = why_stored(email)
        if link.tracking != RemoteItem.Tracking.FILTER:
            why += " " + _("It was tracked: %(by)s.") % {"by": link.get_tracking_display()}
        yield Whereabouts(
            link.at,
            ", ".join(senders),
            email.subject,
            Place.IN_THE_CRM,
            why,
            link.item_id,
            email.pk,
        )


def _declined(mailbox: Mailbox, search: Search, limit: int) -> Iterator[Whereabouts]:
    wanted = _within(search, "received_at")
    if search.message_id:
        wanted &= Q(message_id=search.message_id)
    if search.subject:
        wanted &= Q(subject__icontains=search.subject)
    if search.sender:
        wanted &= Q(sender__iexact=search.sender)
    items = DeclinedItem.objects.filter(wanted, mailbox=mailbox).order_by("-pk")[:limit]
    emails = _by_other_mailboxes(items)
    for item in items:
        why = item.get_reason_display()
        email = emails.get(item.pk)
        if email is not None:
            here = _("It came in by another mailbox. In this one: %(reason)s.") % {"reason": why}
            why = f"{why_stored(email)} {here}"
        yield Whereabouts(
            item.received_at or item.declined_at,
            item.sender,
            item.subject,
            Place.DECLINED if email is None else Place.IN_THE_CRM,
            why,
            item.item_id,
            email and email.pk,
        )


def _by_other_mailboxes(items: Iterable[DeclinedItem]) -> dict[int, Email]:
    """Return emails that another mailbox brought in since, by the keys of the declined `items`.

    Anybody can borrow a Message-ID: the sender and the subject have to be the same too.
    """
    emails = Email.objects.filter(message_id__in={item.message_id for item in items} - {""})
    known = {
        (email.message_id, email.subject, party.address or party.name): email
        for email in emails.select_related(*_REASONS).prefetch_related("parties")
        for party in email.parties.all()
        if party.participation == _SENDER
    }
    found = {item.pk: known.get((item.message_id, item.subject, item.sender)) for item in items}
    return {pk: email for pk, email in found.items() if email is not None}


def _failed(mailbox: Mailbox, search: Search, limit: int) -> Iterator[Whereabouts]:
    """Yield failures; who sent what could not be read, or which id it has, nobody knows."""
    wanted = Q(subject__icontains=search.subject) if search.subject else Q()
    failures = ItemFailure.objects.filter(wanted, mailbox=mailbox).exclude(
        state__in=(ItemFailure.State.RESOLVED, ItemFailure.State.GONE)
    )
    for failure in failures.order_by("-last_seen_at")[:limit]:
        yield Whereabouts(
            failure.first_seen_at,
            "",
            failure.subject,
            Place.FAILED,
            f"{failure.reason}; {failure.get_state_display()}",
            failure.item_id,
        )


def _within(search: Search, column: str) -> Q:
    wanted = Q()
    if search.after is not None:
        wanted &= Q(**{f"{column}__gte": search.after})
    if search.before is not None:
        wanted &= Q(**{f"{column}__lte": search.before})
    return wanted
