"""Meetings: whose copy counts, who is told by mail, and which deletions travel (3G, 3H).

Nobody gets a meeting message but by `invitations`. A meeting is in step with one mailbox for
certain: its organizer's. What other mailboxes have of it is Exchange's doing, by invitation, or a
plain copy of ours that invites nobody.
"""

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from syncservice.domain.field_map import Direction
from syncservice.domain.item_values import OCCURRENCE
from syncservice.domain.merge import Policy

#: A change of these values is told to the attendees (3G); one of an occurrence is, too.
SENSITIVE = frozenset(
    {"subject", "body", "location", "time", "required", "optional", "organizer", "show_as"}
    | {"importance", "recurrence"}
)
ATTENDEES = frozenset({"required", "optional"})
_PEOPLE = ATTENDEES | {"organizer", "responses"}
#: An appointment that began longer ago than this gets no reminder in Exchange (3G).
REMINDER_AGE = timedelta(days=7)


class Invitations(enum.Enum):
    """Who gets a meeting message of what is written."""

    NOBODY = enum.auto()
    ALL = enum.auto()
    CHANGED = enum.auto()  # attendees that were added or taken off


class Role(enum.Enum):
    """What a mailbox is to an appointment of the CRM."""

    ORGANIZER = enum.auto()  # its copy is the one that counts
    #: Exchange delivers the meeting to it by invitation: it is found by its UID, never created.
    ATTENDEE = enum.auto()
    OWN_COPY = enum.auto()  # a plain appointment, without anyone to be invited


class Action(enum.Enum):
    """What is done to a meeting in Exchange."""

    CREATE = enum.auto()
    UPDATE = enum.auto()
    DELETE = enum.auto()  # because the record was deleted
    CANCEL = enum.auto()  # because the record was canceled


class CrmDeletion(enum.Enum):
    """What a deletion in the CRM does to the item."""

    DELETE_AND_CANCEL = enum.auto()  # the attendees are told
    DELETE = enum.auto()  # nobody is
    UNLINK = enum.auto()  # it stays, and is no longer in step


class ExchangeDeletion(enum.Enum):
    """What a deletion in Exchange does to the record."""

    DELETE = enum.auto()
    CANCEL = enum.auto()
    IGNORE = enum.auto()


class Withheld(enum.StrEnum):
    """Why an appointment isn't brought to Exchange."""

    NO_ORGANIZER = "no_organizer"  # an alert says so (F208)
    DRAFT = "draft"  # until it is sent (F209)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What the rules ask of an appointment, seen from one mailbox."""

    role: Role
    has_attendees: bool = False  # before the change or after it: who was taken off is told, too
    is_open: bool = True  # in the CRM: neither completed nor canceled
    is_series: bool = False
    last_start: datetime | None = None  # of a series, its last occurrence's; None: it has no end
    is_service_activity: bool = False

    def is_past(self, now: datetime) -> bool:
        """Say whether it has begun, a series for the last time."""
        return self.last_start is not None and self.last_start < now


def role(
    *,
    organizer: str,
    owner: Collection[str],
    organizer_is_in_step: bool,
    item_is_organizer: bool | None = None,
    is_service_activity: bool = False,
) -> Role:
    """Say what a mailbox is to an appointment, by the organizer's address and its owner's.

    `organizer_is_in_step` says that the organizer is a user whose own mailbox is kept in step: then
    that one invites. `item_is_organizer` is what the item says that is there already (None: there
    is none): one that came by invitation is an attendee's, whoever called the meeting (F207). A
    service activity has no organizer in common: each resource has an own copy (3G).
    """
    if is_service_activity:
        return Role.OWN_COPY
    if item_is_organizer is False:
        return Role.ATTENDEE
    if organizer.lower() in {address.lower() for address in owner}:
        return Role.ORGANIZER
    return Role.ATTENDEE if organizer_is_in_step else Role.OWN_COPY


def withheld(organizer: str, *, is_draft: bool, saves_drafts: bool) -> Withheld | None:
    """Say why an appointment stays out of Exchange (F208, F209); None: it doesn't.

    `saves_drafts` is the organisation's AllowSaveAsDraftAppointment (F245).
    """
    if is_draft and saves_drafts:
        return Withheld.DRAFT
    return None if organizer else Withheld.NO_ORGANIZER


def invitations(
    action: Action,
    meeting: Meeting,
    now: datetime,
    *,
    changed: Collection[str] = (),
    propagates_cancellations: bool = False,
) -> Invitations:
    """Say who is told of what is done (3G).

    `changed` are the names of the values that an update writes; of an occurrence that is over,
    nobody is told. `propagates_cancellations` is SSSPropagateAppointmentCancellationsToExchange
    (F255).
    """
    if meeting.role is not Role.ORGANIZER or not meeting.has_attendees:
        return Invitations.NOBODY
    if meeting.is_past(now):
        return Invitations.NOBODY
    if action is Action.CANCEL and not propagates_cancellations:
        return Invitations.NOBODY
    if action is Action.CREATE and not meeting.is_open:
        return Invitations.NOBODY
    if action is not Action.UPDATE:
        return Invitations.ALL
    told = {name for name in changed if name in SENSITIVE or _is_to_come(name, now)}
    # That it was completed or canceled is not told by showing it as free: see `Action.CANCEL`.
    if not told or (not meeting.is_open and told <= {"show_as"}):
        return Invitations.NOBODY
    return Invitations.CHANGED if told <= ATTENDEES else Invitations.ALL


def _is_to_come(name: str, now: datetime) -> bool:
    """Whether a value is that of an occurrence which is not over by its date."""
    if not name.startswith(OCCURRENCE):
        return False
    return date.fromisoformat(name.removeprefix(OCCURRENCE)) >= now.date()


def crm_deletion(meeting: Meeting, now: datetime, *, is_logical: bool) -> CrmDeletion:
    """Say what becomes of a linked item whose record was deleted (3G, F206).

    A deletion is logical when the record is still there, but the user lost access to it or the
    filters let it go.
    """
    if is_logical or meeting.is_past(now):
        return CrmDeletion.UNLINK
    if meeting.is_service_activity:
        return CrmDeletion.DELETE
    if meeting.role is not Role.ORGANIZER:
        return CrmDeletion.UNLINK
    return _deleted(invitations(Action.DELETE, meeting, now))


def crm_cancellation(
    meeting: Meeting, now: datetime, *, propagates_cancellations: bool
) -> CrmDeletion | None:
    """Say what becomes of the item of a record that was canceled; None: it shows as free (F255)."""
    if meeting.role is not Role.ORGANIZER or meeting.is_past(now) or not propagates_cancellations:
        return None
    return _deleted(invitations(Action.CANCEL, meeting, now, propagates_cancellations=True))


def _deleted(told: Invitations) -> CrmDeletion:
    return CrmDeletion.DELETE_AND_CANCEL if told is Invitations.ALL else CrmDeletion.DELETE


def exchange_deletion(
    meeting: Meeting, now: datetime, *, occurrence_start: datetime | None = None
) -> ExchangeDeletion:
    """Say what becomes of a record whose item was deleted (3H).

    With `occurrence_start`, one occurrence of a series was. A whole series is deleted whether or
    not it is past.
    """
    if meeting.role is not Role.ORGANIZER or not meeting.is_open or meeting.is_service_activity:
        return ExchangeDeletion.IGNORE
    if occurrence_start is not None:
        is_past = occurrence_start < now
    else:
        is_past = meeting.is_past(now) and not meeting.is_series
    return ExchangeDeletion.IGNORE if is_past else ExchangeDeletion.DELETE


def exchange_cancellation(
    meeting: Meeting, now: datetime, *, organizer_is_in_step: bool
) -> ExchangeDeletion:
    """Say what becomes of a record whose item says that its organizer cancelled the meeting.

    Of an organizer in step, the own mailbox tells the CRM; of any other this is the only news.
    """
    if meeting.role is not Role.ATTENDEE or organizer_is_in_step:
        return ExchangeDeletion.IGNORE
    if not meeting.is_open or meeting.is_past(now):
        return ExchangeDeletion.IGNORE
    return ExchangeDeletion.CANCEL


def directions_in(
    meeting: Meeting, directions: Mapping[str, Direction], *, organizer_is_in_step: bool
) -> dict[str, Direction]:
    """Narrow the field map's directions to what a mailbox of this role may say and hear (3K).

    The organizer's copy is the authority: an attendee's own is never written, for the organizer's
    next update would undo it, and is only listened to when no better copy is in step. Nobody is
    invited from a plain copy, so the people stay away from it; only a service activity's says who
    takes part (3F).
    """
    if meeting.role is Role.ORGANIZER or meeting.is_service_activity:
        return dict(directions)
    if meeting.role is Role.OWN_COPY:
        return {n: Direction.NONE if n in _PEOPLE else way for n, way in directions.items()}
    heard = Direction.NONE if organizer_is_in_step else Direction.TO_CRM
    own = {"regarding", "reminder"}  # of the copy itself, nothing that the organizer says
    return {name: way if name in own else way & heard for name, way in directions.items()}


def policy_in(meeting: Meeting, policy: Policy, *, organizer_is_in_step: bool) -> Policy:
    """Say who wins when both sides changed a meeting: the organizer's copy (3K).

    Of an appointment that is nobody else's, the organisation's own policy holds.
    """
    if meeting.role is Role.ATTENDEE:
        return Policy.CRM if organizer_is_in_step else Policy.EXCHANGE
    if meeting.role is Role.ORGANIZER and meeting.has_attendees:
        return Policy.EXCHANGE
    return policy


def reminder(
    minutes: int | None, *, is_open: bool, show_as: str, starts_at: datetime, now: datetime
) -> int | None:
    """Return the reminder that an appointment gets in Exchange; None: none (3G).

    One that is completed, canceled or free has none, nor one that was over for days when it came.
    """
    if not is_open or show_as == "free" or now - starts_at > REMINDER_AGE:
        return None
    return minutes
