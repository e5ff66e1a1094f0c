"""A mailbox at a server in trouble: what its visits end in, and what is stored and known of it."""

from dataclasses import replace
from datetime import timedelta
from itertools import count

from django.db.models.functions import Now

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import Email
from syncservice.domain.faults import FaultError, Patience
from syncservice.domain.polling import Pace, Rest
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    FolderCursor,
    Mailbox,
    Schedule,
    ServerHealth,
)
from syncservice.mailboxes.schedule import server_of
from syncservice.servers import registry
from syncservice.sync import outcome as outcomes
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import Budget, Outcome, visit
from tests import factories

BUDGET = Budget(
    duration=timedelta(minutes=1), messages=1000, bytes=2**28, page_ids=10, batch_messages=10,
    batch_bytes=2**24, message_bytes=2**26,
)  # fmt: skip


class Visited:
    """One mailbox; `budget` bounds its visits, in ticks of a clock that each look moves on by one.

    So a test knows how many looks a visit had, and no wall clock is in it.
    """

    def __init__(self, address: str, budget: Budget = BUDGET, **profile) -> None:
        self.box = factories.mailbox(
            email_address=address, profile=factories.profile(**{"timeout_seconds": 1, **profile})
        )
        self.budget = budget
        self.outcome = Outcome()
        self.rest = Rest(timedelta(0), "")

    def visit(self) -> Outcome:
        """Make a visit, and record what came of it, however long all was to be left alone."""
        Schedule.objects.exclude(mailbox=self.box).update(due_at=None)
        Schedule.objects.filter(mailbox=self.box, lane="incoming").update(due_at=Now())
        ServerHealth.objects.update(not_before=Now())
        claim = factories.claim(self.box)
        mailbox = Mailbox.objects.select_related("profile").get(pk=self.box.pk)
        ticks = count()
        try:
            with registry.incoming(mailbox, lambda: None) as gateway:
                self.outcome = visit(
                    gateway, Inbox(claim, 5), self.budget, lambda: float(next(ticks))
                )
        except FaultError as error:
            self.outcome = Outcome(fault=error.fault)
        profile = EmailServerProfile.objects.get(pk=mailbox.profile_id)
        self.rest = outcomes.record(
            claim, self.outcome, server_of(profile, claim.lane), Pace(), "here", Patience()
        )
        return self.outcome

    def visit_until_done(self) -> None:
        """Go on until a visit ends well with nothing left."""
        while self.visit().fault or self.outcome.more_left:
            pass

    def again_with(self, **limits) -> None:
        self.budget = replace(self.budget, **limits)

    @property
    def minutes(self) -> float:
        """How long it is left alone."""
        return self.rest.length / timedelta(minutes=1)

    @property
    def stored(self) -> list[str]:
        mails = Email.objects.filter(remote_items__mailbox=self.box)
        return sorted(mails.values_list("subject", flat=True))

    @property
    def failed(self) -> dict[str, str]:
        """Open item failures: code by item id."""
        rows = ItemFailure.objects.filter(mailbox=self.box).exclude(state__in=ItemFailure.DONE)
        return dict(rows.values_list("item_id", "code"))

    @property
    def cursor(self) -> str:
        row = FolderCursor.objects.filter(mailbox=self.box).first()
        return row.position if row else ""

    @property
    def is_on(self) -> bool:
        return Direction.objects.get(mailbox=self.box, kind="incoming").is_enabled

    @property
    def server_rests(self) -> bool:
        """Whether all mailboxes of the server are left alone."""
        health = ServerHealth.objects.get(profile=self.box.profile_id, server="incoming")
        return health.failures > 0
