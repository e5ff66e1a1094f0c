"""What people ask to have in the CRM: one message, or all of a folder (F101, F140-F152).

A request is a row, like everything that is to be done: it is taken up within a second by the queue
of asynchronous operations, and by the mailbox's next visit if nobody else did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Min
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from syncservice.crm.models import REGARDING
from syncservice.mailboxes import audit, schedule
from syncservice.mailboxes.models import (
    FolderCursor,
    Lane,
    Mailbox,
    MailboxFolders,
    MailboxMapping,
    Organisation,
    RemoteItem,
    Schedule,
    TrackingFolder,
    TrackRequest,
)

About = dict[str, Any]  # one of `regarding_account`, `regarding_contact` and `regarding_lead`


@transaction.atomic
def track_now(
    mailbox: Mailbox,
    requested_by: str,
    *,
    item_id: str = "",
    message_id: str = "",
    about: About | None = None,
) -> TrackRequest:
    """Ask for one message of a mailbox, by the server's id or by Message-ID.

    Raise ValidationError when its incoming email is not read at all.
    """
    if bool(item_id) == bool(message_id):
        raise ValidationError(_("Give either the server's id of the message or its Message-ID."))
    if len(item_id or message_id) > RemoteItem.LONGEST_ID:
        raise ValidationError(
            _("The id of a message has at most %(most)d characters.")
            % {"most": RemoteItem.LONGEST_ID}
        )
    mapping = MailboxMapping.objects.filter(mailbox=mailbox, ended_at=None).first()
    row = Schedule.objects.filter(mailbox=mailbox, lane=Lane.INCOMING).first()
    if row is not None and row.parked_at is not None:
        raise ValidationError(
            _("The visits of %(mailbox)s ended their worker, and it is parked; resume it first.")
            % {"mailbox": mailbox}
        )
    if mapping is None or row is None or row.due_at is None:
        raise ValidationError(
            _("The incoming email of %(mailbox)s is not read; test and enable the mailbox first.")
            % {"mailbox": mailbox}
        )
    if message_id and not message_id.startswith("<"):
        message_id = f"<{message_id}>"
    return TrackRequest.objects.create(
        mailbox=mailbox,
        mapping=mapping,
        item_id=item_id,
        message_id=message_id,
        requested_by=requested_by,
        **(about or {}),
    )


def requested(limit: int) -> list[int]:
    """Return at most `limit` mailboxes with requests that nobody has taken up, first the oldest.

    Those of a mailbox that is not visited just now wait until it is.
    """
    waiting = TrackRequest.objects.filter(
        state=TrackRequest.State.WAITING,
        tried_at=None,
        mapping__ended_at=None,
        mailbox__schedules__lane=Lane.INCOMING,
        mailbox__schedules__due_at__isnull=False,
    )
    oldest = waiting.values("mailbox").annotate(oldest=Min("pk")).order_by("oldest")
    return list(oldest.values_list("mailbox", flat=True)[:limit])


def are_tried(mailbox_id: int) -> None:
    """Leave a mailbox's requests to its visits: the server could not answer."""
    waiting = TrackRequest.objects.filter(mailbox=mailbox_id, state=TrackRequest.State.WAITING)
    waiting.update(tried_at=Now())


@transaction.atomic
def track_folder(mailbox: Mailbox, folder_id: str, name: str, about: About, actor: str) -> None:
    """Track all email of a folder, about one record or none; again, to change the record (F151).

    Whether it is a folder below the Inbox is looked at by the next visit. Raise ValidationError for
    what can't be tracked by folders, or for one folder too many.
    """
    schedule.lock([mailbox.pk])
    if problem := _folder_problem(mailbox, folder_id):
        raise ValidationError(problem)
    nothing = dict.fromkeys(REGARDING)
    TrackingFolder.objects.update_or_create(
        mailbox=mailbox,
        folder_id=folder_id,
        defaults={**nothing, **about, "name": name, "state": TrackingFolder.State.ACTIVE},
    )
    # The next visit looks before it reads: the folder may lie outside the Inbox (F141).
    MailboxFolders.objects.filter(mailbox=mailbox).update(looked_at=Now() - timedelta(days=1))
    audit.note(actor, "folder.tracked", mailbox=mailbox, folder=name)
    schedule.wake([mailbox.pk], Lane.INCOMING, "a folder is tracked")


@transaction.atomic
def untrack_folder(rule: TrackingFolder, actor: str) -> None:
    """Track a folder no more; what came by it stays in the CRM and linked (F144)."""
    schedule.lock([rule.mailbox_id])
    FolderCursor.objects.filter(mailbox=rule.mailbox_id, folder=rule.folder_id).delete()
    audit.note(actor, "folder.untracked", mailbox=rule.mailbox, folder=rule.name)
    rule.delete()


def _folder_problem(mailbox: Mailbox, folder_id: str) -> str:
    if not Organisation.current().uses_folder_tracking:
        return _("The organisation does not track email by folders; switch it on first.")  # F140
    if mailbox.profile is None or not mailbox.profile.is_exchange:
        return _("Only Exchange has folders that can be tracked.")
    if not MailboxMapping.objects.filter(mailbox=mailbox, ended_at=None, queue=None).exists():
        return _("Folders are tracked in the mailboxes of users only.")  # F135, F141
    others = TrackingFolder.objects.filter(mailbox=mailbox).exclude(folder_id=folder_id)
    if others.count() >= TrackingFolder.MOST:
        return _("At most %(most)d folders of a mailbox can be tracked.") % {
            "most": TrackingFolder.MOST
        }
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a mailbox as people see it."""

    folder_id: str
    path: str  # names from below the Inbox on: Clients/Contoso
    rule: TrackingFolder | None  # None: it is not tracked


def places(mailbox: Mailbox) -> list[Place]:
    """Return the folders below the Inbox, and tracked ones that are there no longer."""
    seen = MailboxFolders.objects.filter(mailbox=mailbox).first()
    folders = {folder["id"]: folder for folder in seen.folders} if seen else {}
    related = TrackingFolder.objects.filter(mailbox=mailbox).select_related(*REGARDING)
    rules = {rule.folder_id: rule for rule in related}
    found = [Place(one, _path(folders, one), rules.pop(one, None)) for one in folders]
    gone = [Place(rule.folder_id, rule.name, rule) for rule in rules.values()]
    return sorted(found + gone, key=lambda place: place.path.casefold())


def place_at(mailbox: Mailbox, path: str) -> Place:
    """Return the folder that people call `path`; raise ValidationError when there is none."""
    found = [place for place in places(mailbox) if place.path.casefold() == path.casefold()]
    if not found:
        raise ValidationError(
            _(
                "There is no folder %(path)s below the Inbox; folders are looked at when the "
                "mailbox is visited, every 15 minutes at most."
            )
            % {"path": path}
        )
    return found[0]


def _path(folders: Mapping[str, dict[str, str]], folder_id: str) -> str:
    names: list[str] = []
    while folder_id in folders and len(names) < len(folders):
        names.append(folders[folder_id]["name"])
        folder_id = folders[folder_id]["parent"]
    return "/".join(reversed(names))
