"""Administration of item failures and alerts, to read and search."""

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from syncservice.alerts import alerts, item_failures
from syncservice.alerts.models import Alert, ItemFailure
from syncservice.mailboxes import tracking
from syncservice.mailboxes.admin import ReadOnlyAdmin
from syncservice.mailboxes.models import DeclinedItem


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
