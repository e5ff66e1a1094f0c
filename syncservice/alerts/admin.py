"""Administration of item failures and alerts, to read and search."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert, ItemFailure
from syncservice.mailboxes.admin import ReadOnlyAdmin


@admin.register(ItemFailure)
class ItemFailureAdmin(ReadOnlyAdmin):
    list_display = ["last_seen_at", "mailbox", "state", "code", "reason", "attempts"]
    list_filter = ["state", "code"]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address", "reason", "code"]
    ordering = ["-last_seen_at"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    actions = ["resume"]
    list_display = ["raised_at", "mailbox", "code", "text", "ended_at"]
    list_filter = ["code", ("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address", "code"]
    ordering = ["-raised_at"]

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("mailboxes.change_mailbox")

    @admin.action(description=_("Resume parked mailboxes"), permissions=["resume"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        for mailbox_id in chosen.filter(code=alerts.PARKED).values_list("mailbox", flat=True):
            alerts.resume_parked(mailbox_id)
