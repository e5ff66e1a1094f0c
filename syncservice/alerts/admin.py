"""Administration of alerts and of what became of single items, to read and search.

Subjects and values are for the eyes of a mailbox's owner only (F305), and stand in none of these.
"""

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from syncservice.alerts import alerts, item_failures
from syncservice.alerts.models import Alert, ItemFailure
from syncservice.mailboxes import tracking
from syncservice.mailboxes.admin import ReadOnlyAdmin
from syncservice.mailboxes.models import (
    DeclinedItem,
    FieldSetting,
    ItemConflict,
    ItemLink,
    JournalEntry,
)


@admin.register(ItemFailure)
class ItemFailureAdmin(ReadOnlyAdmin):
    actions = ["retry", "dismiss"]
    exclude = ["subject"]
    list_display = ["last_seen_at", "mailbox", "masked", "state", "code", "reason", "attempts"]
    list_filter = ["state"]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address", "reason", "code"]
    ordering = ["-last_seen_at"]

    @admin.display(description=_("subject"))
    def masked(self, failure: ItemFailure) -> str:
        """The subject is for its owner's eyes only (F305)."""
        return item_failures.MASK

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("mailboxes.change_mailbox")

    @admin.action(description=_("Try again"), permissions=["act"])
    def retry(self, request: HttpRequest, chosen: QuerySet[ItemFailure]) -> None:
        item_failures.retry(list(chosen.values_list("pk", flat=True)))

    @admin.action(description=_("Dismiss"), permissions=["act"])
    def dismiss(self, request: HttpRequest, chosen: QuerySet[ItemFailure]) -> None:
        item_failures.dismiss(list(chosen.values_list("pk", flat=True)))


@admin.register(DeclinedItem)
class DeclinedItemAdmin(ReadOnlyAdmin):
    """Why messages are not in the CRM."""

    actions = ["track"]
    exclude = ["subject", "answers"]
    list_display = ["declined_at", "mailbox", "sender", "masked", "received_at", "reason"]
    list_filter = ["reason"]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address", "sender", "message_id"]
    ordering = ["-declined_at"]

    @admin.display(description=_("subject"))
    def masked(self, item: DeclinedItem) -> str:
        """The subject is for its owner's eyes only (F305)."""
        return item_failures.MASK

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("mailboxes.change_mailbox")

    @admin.action(description=_("Store in the CRM after all"), permissions=["act"])
    def track(self, request: HttpRequest, chosen: QuerySet[DeclinedItem]) -> None:
        for item in chosen.select_related("mailbox"):
            try:
                tracking.track_now(item.mailbox, request.user.get_username(), item_id=item.item_id)
            except ValidationError as error:
                self.message_user(request, " ".join(error.messages), messages.ERROR)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    actions = ["resume", "yes", "no", "dismiss"]
    list_display = ["meaning", "about", "severity", "last_seen_at", "count", "answer", "ended_at"]
    list_filter = ["severity", ("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["mailbox", "profile"]
    search_fields = ["mailbox__email_address", "profile__name", "code"]
    ordering = ["-last_seen_at"]

    @admin.display(description=_("meaning"))
    def meaning(self, alert: Alert) -> str:
        return str(alert.entry.meaning)

    @admin.display(description=_("about"))
    def about(self, alert: Alert) -> str:
        return str(alert.mailbox or alert.profile)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return super().get_queryset(request).filter(alerts.visible_to(request.user))

    @admin.action(description=_("Answer yes"), permissions=["resume"])
    def yes(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        self._answer(request, chosen, yes=True)

    @admin.action(description=_("Answer no"), permissions=["resume"])
    def no(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        self._answer(request, chosen, yes=False)

    def _answer(self, request: HttpRequest, chosen: QuerySet[Alert], *, yes: bool) -> None:
        for alert in chosen:
            try:
                alerts.answer(alert.pk, yes, request.user.get_username())
            except alerts.NoQuestion as error:
                self.message_user(request, str(error), messages.ERROR)

    @admin.action(description=_("Dismiss"), permissions=["resume"])
    def dismiss(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        alerts.dismiss(list(chosen.values_list("pk", flat=True)), request.user.get_username())

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("mailboxes.change_mailbox")

    @admin.action(description=_("Resume parked mailboxes"), permissions=["resume"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        for mailbox_id in chosen.filter(code=alerts.PARKED).values_list("mailbox", flat=True):
            alerts.resume_parked(mailbox_id)


@admin.register(ItemLink)
class ItemLinkAdmin(ReadOnlyAdmin):
    exclude = ["subject", "base", "deleted_record"]
    list_display = ["linked_at", "mailbox", "kind", "key", "state", "due_at", "fault_code"]
    list_filter = ["kind", "state", ("fault_code", admin.EmptyFieldListFilter)]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address", "key"]
    ordering = ["-pk"]


@admin.register(ItemConflict)
class ItemConflictAdmin(ReadOnlyAdmin):
    exclude = ["link", "name", "base", "crm", "exchange"]
    list_display = ["found_at", "winner", "reversed_at", "reversed_by"]
    list_filter = ["winner", ("reversed_at", admin.EmptyFieldListFilter)]
    ordering = ["-found_at"]


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    exclude = ["subject", "before", "after"]
    list_display = ["at", "mailbox", "fence", "kind", "key", "action", "undone_at", "undo_text"]
    list_filter = ["kind", "action"]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address", "key"]
    ordering = ["-at"]


@admin.register(FieldSetting)
class FieldSettingAdmin(ReadOnlyAdmin):
    list_display = ["mapping", "direction", "policy"]
    list_filter = ["policy"]
    search_fields = ["mapping"]
    ordering = ["mapping"]
