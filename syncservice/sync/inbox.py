"""A folder of a mailbox as it is read: whose it is, what is wanted of it, and how far it was read.

What is listed, fetched and stored of it has modules of its own: `listing`, `reading`, `storing`.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from syncservice.alerts import alerts
from syncservice.alerts.models import Severity
from syncservice.crm.models import Email, Regarding
from syncservice.domain.faults import Fault
from syncservice.mailboxes.models import (
    FolderCursor,
    Organisation,
    RemoteItem,
    TrackingCategory,
    TrackingFolder,
)
from syncservice.mailboxes.schedule import Claim, fenced
from syncservice.servers.gateway import INBOX
from syncservice.sync.directory import Receiver, receiver_of
from syncservice.sync.organisation_rules import Rules, rules_of

Tracking = RemoteItem.Tracking

LONGEST_ID = RemoteItem.LONGEST_ID


def kept_id(item_id: str) -> str:
    """Return the id under which an item is kept: its own, or a digest of one that is too long."""
    if len(item_id) <= LONGEST_ID:
        return item_id
    return f"sha256:{hashlib.sha256(item_id.encode()).hexdigest()}"


def columns_of(about: Regarding | None) -> dict[str, Any]:
    """Return the columns of what email is about, none when nothing is named."""
    if about is None or about.regarding is None:
        return {}
    return {name: getattr(about, name) for name in Email.REGARDING_IDS}


@dataclass
class Inbox:
    """One folder of a mailbox as it is read under one claim: what a visit knows of it."""

    claim: Claim
    item_attempts: int
    since: datetime | None = None  # email received earlier is left alone (F044); None: all is read
    folder: str = INBOX
    tracking: Tracking = Tracking.FILTER  # why email of this folder is wanted
    tracked_folder: TrackingFolder | None = None  # the rule that says so
    former_category: str = ""  # as ours was called before this visit; '': as it is now
    #: Of items that are wanted for another reason than their folder's, and what they are about.
    by_item: dict[str, Tracking] = field(default_factory=dict, init=False)
    about: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    @cached_property
    def receiver(self) -> Receiver:
        return receiver_of(self.claim.mailbox_id)

    @cached_property
    def rules(self) -> Rules:
        return rules_of(Organisation.current())

    @cached_property
    def categories(self) -> dict[str, TrackingCategory]:
        """Our categories on the mailbox's list, by kind (F153); none where they aren't used."""
        if not self.rules.organisation.uses_category_tracking or self.receiver.owner is None:
            return {}
        rows = TrackingCategory.objects.filter(mailbox=self.claim.mailbox_id)
        return {row.kind: row for row in rows}

    @property
    def category(self) -> str:
        """The name of the category by which email is tracked; '': there is none."""
        row = self.categories.get(TrackingCategory.Kind.TRACKED)
        return row.name if row else ""

    def cursor(self) -> str:
        """Return how far the folder has been read; '' is nothing yet."""
        row = FolderCursor.objects.filter(mailbox=self.claim.mailbox_id, folder=self.folder).first()
        return row.position if row else ""

    def move_cursor(self, position: str) -> None:
        with fenced(self.claim):
            self.save_cursor(position)

    def forget_cursor(self) -> None:
        """Read the folder from its beginning next time; links keep known items from doubling."""
        self.move_cursor("")

    def save_cursor(self, position: str) -> None:
        """Move the cursor; to be called inside `fenced`, with what it stands behind."""
        if self.tracked_folder is not None and self.rule() is None:
            return  # tracked again, it is read from its beginning
        FolderCursor.objects.update_or_create(
            mailbox_id=self.claim.mailbox_id,
            folder=self.folder,
            defaults={"position": position},
        )

    def rule(self) -> TrackingFolder | None:
        """Return the folder's rule, None when it has none or none any more.

        To be called inside `fenced`: nobody untracks the folder before the transaction ends.
        """
        rule = self.tracked_folder
        is_there = rule is not None and TrackingFolder.objects.filter(pk=rule.pk).exists()
        return rule if is_there else None

    def want(self, item_id: str, about: Regarding) -> None:
        """Have an item stored whatever the filters say: somebody asked for it by hand."""
        self.by_item[item_id] = Tracking.HAND
        self.about[item_id] = columns_of(about)

    def tell_of(self, fault: Fault) -> None:
        """Raise an alert about what stops neither the visit nor any message."""
        with fenced(self.claim):
            alerts.raise_for_mailbox(
                self.claim.mailbox_id, Severity.WARNING, fault.code, fault.text,
                direction=alerts.EMAIL,
            )  # fmt: skip
