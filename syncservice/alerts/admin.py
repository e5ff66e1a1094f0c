"""Administration of item failures, to read and search."""

from django.contrib import admin

from syncservice.alerts.models import ItemFailure
from syncservice.mailboxes.admin import ReadOnlyAdmin


@admin.register(ItemFailure)
class ItemFailureAdmin(ReadOnlyAdmin):
    list_display = ["last_seen_at", "mailbox", "state", "code", "reason", "attempts"]
    list_filter = ["state", "code"]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address", "reason", "code"]
    ordering = ["-last_seen_at"]
