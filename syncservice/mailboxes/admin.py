"""Administration of server profiles and mailboxes; the schedule follows every change at once.

Passwords go in and never come out. Nothing is deleted here: what is switched off keeps its
history and what it has read, and can be switched on again.
"""

from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from syncservice.mailboxes import (
    administration,
    audit,
    connection_tests,
    directions,
    rules,
    schedule,
)
from syncservice.mailboxes.forms import MailboxForm, ProfileForm, typed_fields
from syncservice.mailboxes.models import (
    ChangeRecord,
    Direction,
    EmailServerProfile,
    Mailbox,
    Organisation,
    Schedule,
    VisitStatistics,
)


class ManyRows(Paginator):
    """Counts no further than anybody turns pages: an exact figure would read millions of rows."""

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: self.MOST].count()


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that only the service writes; there may be millions.

    So nothing here asks for all: a filter by a text column would, for the values that occur.
    """

    show_full_result_count = False
    paginator = ManyRows

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ScheduledAdmin(admin.ModelAdmin):
    """Records that the schedule follows, in the transaction of the change."""

    show_full_result_count = False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        # Who may only view gets every field as text; the password is not for reading.
        return [
            (title, {**options, "fields": [f for f in options["fields"] if f not in _NOT_TO_READ]})
            for title, options in fieldsets
        ]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.over_http = not passwords_may_travel(request)
        return form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def tell(self, request: HttpRequest, number: int) -> None:
        message = ngettext("%(number)d mailbox changed.", "%(number)d mailboxes changed.", number)
        self.message_user(request, message % {"number": number}, messages.SUCCESS)


def passwords_may_travel(request: HttpRequest) -> bool:
    """Whether a password in this request is safe from listeners on the way."""
    host = urlsplit(f"//{request.get_host()}").hostname
    on_this_machine = host in ("localhost", "127.0.0.1", "::1")
    return request.is_secure() or on_this_machine or settings.ALLOW_PASSWORDS_OVER_HTTP


_NOT_TO_READ = ("password", "outgoing_password", "user", "queue", "take_over")


@admin.register(Organisation)
class OrganisationAdmin(admin.ModelAdmin):
    """The settings of the whole organisation; the one row is made when it is first needed."""

    fieldsets = [
        (
            _("New mailboxes"),
            {
                "fields": [
                    *("default_profile", "default_incoming", "default_outgoing", "default_act"),
                    *("approves_users", "approves_queues"),
                ]
            },
        ),
        (
            _("Whose email it is"),
            {
                "fields": [
                    *("mailbox_owner_decides_alone", "user_decides_alone"),
                    *("internal_email_is_two_activities", "internal_email_to_queues"),
                    *("internal_email_from_queues", "leaves_out_rights_managed"),
                    *("unresolves_several_senders", "unresolves_several_recipients"),
                    *("resolves_alike", "creates_records", "routes_to_owner_queue"),
                ]
            },
        ),
        (
            _("What email answers"),
            {
                "fields": [
                    *("correlates_conversations", "uses_tracking_tokens", "token_prefix"),
                    *("token_base", "token_user_digits", "token_counter_digits"),
                    *("uses_smart_matching", "hash_filter", "hash_max_count"),
                    *("hash_delta_subject_count", "hash_min_address_count"),
                ]
            },
        ),
        (
            _("Tracking by hand"),
            {"fields": ["uses_folder_tracking", "uses_category_tracking", "tracks_sent_items"]},
        ),
        (_("Outgoing email"), {"fields": ["sends_to_unresolved"]}),
        (
            _("Appointments, contacts and tasks"),
            {
                "fields": [
                    *("three_contact_addresses", "synchronizes_attachments"),
                    *("propagates_cancellations", "ignores_copied_items"),
                    *("tracks_from_non_organizer", "checks_scheduling_conflicts"),
                    "checks_duplicate_contacts",
                    *("asks_above_creations", "asks_above_deletions"),
                ]
            },
        ),
        (_("Attachments"), {"fields": ["attachment_kilobytes", "blocked_extensions"]}),
        (
            _("Alerts"),
            {
                "fields": [
                    *("alerts_errors", "alerts_warnings", "alerts_information"),
                    "notifies_mailbox_owners",
                ]
            },
        ),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organisation]:
        Organisation.current()
        return super().get_queryset(request)

    def save_model(self, request: HttpRequest, obj: Organisation, form: Any, change: bool) -> None:
        fields = {name: getattr(obj, name) for name in form.changed_data}
        administration.change_organisation(request.user.get_username(), **fields)


@admin.register(EmailServerProfile)
class EmailServerProfileAdmin(ScheduledAdmin):
    form = ProfileForm
    actions = ["test_and_enable", "test_connection"]
    list_display = ["name", "server_type", "location", "credentials", "owner", "is_active"]
    list_filter = ["server_type", "is_active", "verify_tls"]
    list_select_related = ["owner"]
    search_fields = ["name", "location"]
    autocomplete_fields = ["owner"]
    fieldsets = [
        (None, {"fields": ["name", "description", "owner", "send_alert_mail", "is_active"]}),
        (
            _("Server"),
            {
                "fields": [
                    *("server_type", "use_autodiscover", "location", "port", "security"),
                    *("outgoing_location", "outgoing_port", "outgoing_security"),
                    *("verify_tls", "timeout_seconds"),
                ]
            },
        ),
        (
            _("Account"),
            {
                "fields": [
                    *("credentials", "authentication"),
                    *("username", "password", "use_impersonation"),
                ]
            },
        ),
        (
            _("Account for outgoing email"),
            {
                "fields": [
                    *("same_settings_for_outgoing", "outgoing_credentials"),
                    *("outgoing_authentication", "outgoing_username", "outgoing_password"),
                    *("outgoing_use_impersonation", "grant_delegate_access"),
                ]
            },
        ),
        (
            _("Outgoing email"),
            {"fields": ["keeps_sent_copy", "unclear_sending", "encoding"]},
        ),
        (
            _("Load"),
            {
                "fields": [
                    *("maximum_concurrent_connections", "maximum_requests_per_second"),
                    "minimum_polling_interval_minutes",
                ]
            },
        ),
        (
            _("Incoming email"),
            {"fields": ["process_email_from", "move_failed_to_undeliverable"]},
        ),
    ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        administration.lock_profile(obj)
        super().save_model(request, obj, form, change)
        administration.profile_changed(obj, request.user.get_username(), form.changed_data)
        for word in rules.warnings(obj):
            self.message_user(request, str(word), messages.WARNING)

    @admin.action(description=_("Test and enable all mailboxes"), permissions=["change"])
    def test_and_enable(self, request: HttpRequest, chosen: QuerySet[EmailServerProfile]) -> None:
        boxes = Mailbox.objects.filter(profile__in=chosen).values_list("pk", flat=True)
        number = len(boxes)
        directions.request_tests(boxes, request.user.get_username())
        self.tell(request, number)

    @admin.action(description=_("Test the connection"), permissions=["change"])
    def test_connection(self, request: HttpRequest, chosen: QuerySet[EmailServerProfile]) -> None:
        for profile in chosen:
            connection_tests.request(profile.pk)
        self.message_user(request, _("The connection is being tested."), messages.INFO)


class DirectionInline(admin.TabularInline):
    """What each direction does; it is switched by tests and by the actions of the list."""

    model = Direction
    fields = (
        *("kind", "is_enabled", "disabled_code", "is_probed"),
        *("test_status", "test_text", "tested_at"),
    )
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Mailbox)
class MailboxAdmin(ScheduledAdmin):
    form = MailboxForm
    inlines = [DirectionInline]
    actions = [
        *("test_and_enable", "switch_on", "switch_off"),
        *("approve", "reject", "apply_defaults"),
    ]
    list_display = ["__str__", "name", "profile", "approval", "enabled", "is_active"]
    list_filter = [
        *("is_active", "approval", "is_forward", "profile"),
        *("incoming_method", "outgoing_method", "act_method", "directions__disabled_code"),
    ]
    list_select_related = ["profile"]
    search_fields = ["email_address", "name"]
    autocomplete_fields = ["profile"]
    fieldsets = [
        (None, {"fields": ["name", "email_address", "is_forward", "user", "queue", "take_over"]}),
        (
            _("Synchronization"),
            {
                "fields": [
                    *("profile", "incoming_method", "outgoing_method", "act_method"),
                    *("process_email_from", "delete_after_processing", "is_active"),
                ]
            },
        ),
        (
            _("Account of its own"),
            {
                "fields": ["allow_credentials", "username", "password"],
                "description": _(
                    "Used when the server profile leaves the account to each mailbox."
                ),
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailbox]:
        # A list needs no secrets, and can be shown when the key of one is lost.
        secrets = ("password", "profile__password", "profile__outgoing_password")
        return super().get_queryset(request).defer(*secrets).prefetch_related("directions")

    @admin.display(description=_("enabled"))
    def enabled(self, mailbox: Mailbox) -> str:
        kinds = [row.get_kind_display() for row in mailbox.directions.all() if row.is_enabled]
        return "; ".join(kinds)

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        administration.await_turn()
        actor = request.user.get_username()
        owner = form.cleaned_data["user"] or form.cleaned_data["queue"]
        if change:
            schedule.lock([obj.pk])
        else:
            if request.user.has_perm("mailboxes.approve_address"):
                obj.approval = Mailbox.Approval.APPROVED
            super().save_model(request, obj, form, change)
            directions.ensure([obj])
        if owner is not None:
            administration.map_mailbox(obj, owner, take_over=True, actor=actor)  # the form asked
        if change:
            # After the former owner's account was forgotten: the one that was typed is the new's.
            obj.save(update_fields=typed_fields(form))
        if "email_address" in form.changed_data and change:
            administration.change_address(Mailbox.objects.get(pk=obj.pk), obj.email_address, actor)
        if change:
            administration.mailbox_changed(obj, actor, form.changed_data)
        else:
            schedule.plan([obj.pk])
            audit.note(actor, "mailbox.added", mailbox=obj, fields=sorted(form.changed_data))

    @admin.action(description=_("Test and enable"), permissions=["change"])
    def test_and_enable(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        directions.request_tests(ids, request.user.get_username())
        self.tell(request, len(ids))

    @admin.action(description=_("Switch on without a test"), permissions=["change"])
    def switch_on(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        directions.enable_used(ids, request.user.get_username())
        self.tell(request, len(ids))

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        directions.disable(ids, Direction.Kind, request.user.get_username())
        self.tell(request, len(ids))

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("mailboxes.approve_address")

    @admin.action(description=_("Approve the addresses"), permissions=["approve"])
    def approve(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        self._decide(request, chosen, approved=True)

    @admin.action(description=_("Reject the addresses"), permissions=["approve"])
    def reject(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        self._decide(request, chosen, approved=False)

    def _decide(self, request: HttpRequest, chosen: QuerySet[Mailbox], *, approved: bool) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        actor = request.user.get_username()
        self.tell(request, administration.decide_approval(ids, actor, approved=approved))

    @admin.action(description=_("Apply the default settings"), permissions=["change"])
    def apply_defaults(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        try:
            self.tell(request, administration.apply_defaults(ids, request.user.get_username()))
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)


@admin.register(ChangeRecord)
class ChangeRecordAdmin(ReadOnlyAdmin):
    list_display = ["made_at", "actor", "action", "mailbox", "profile", "facts"]
    list_select_related = ["mailbox", "profile"]
    search_fields = ["actor", "action", "mailbox__email_address", "profile__name"]
    ordering = ["-made_at"]


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["mailbox", "lane", "due_at", "reason", "claimed_at", "failures", "fault_code"]
    list_filter = ["lane", ("fault_code", admin.EmptyFieldListFilter)]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address"]
    ordering = ["due_at"]


@admin.register(VisitStatistics)
class VisitStatisticsAdmin(ReadOnlyAdmin):
    list_display = [
        *("finished_at", "mailbox", "lane", "seconds", "requests"),
        *("stored", "linked", "failed", "more_left", "fault_code", "machine"),
    ]
    list_filter = ["lane", "more_left", ("fault_code", admin.EmptyFieldListFilter)]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address"]
    ordering = ["-finished_at"]
