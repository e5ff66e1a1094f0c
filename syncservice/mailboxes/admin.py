"""Administration of server profiles and mailboxes; the schedule follows every change at once.

Passwords go in and never come out. Nothing is deleted here: what is switched off keeps its
history and what it has read, and can be switched on again.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import models, transaction
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import (
    EmailServerProfile,
    Mailbox,
    MailboxMapping,
    Schedule,
    VisitStatistics,
)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that only the service writes."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WithPassword(forms.ModelForm):
    """A form whose password is write-only: never shown, and kept when the field stays empty."""

    password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(
            render_value=False, attrs={"autocomplete": "new-password", "class": "vTextField"}
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.pop("password", None)
        if "password" in self.fields:  # it is not for those who may only view
            self.fields["password"].help_text = (
                _("A password is set. Leave this empty to keep it.")
                if self.instance.password
                else _("No password is set.")
            )

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"] or self.instance.password
        return password


class ProfileForm(WithPassword):
    def clean(self) -> None:
        super().clean()
        in_profile = EmailServerProfile.Credentials.PROFILE
        if self.cleaned_data.get("credentials") == in_profile:
            if not self.cleaned_data.get("username"):
                self.add_error(
                    "username",
                    _("Enter the account that opens the mailboxes, or leave it to each mailbox."),
                )
            if not self.cleaned_data.get("password"):
                self.add_error("password", _("Enter the password of this account."))


class MailboxForm(WithPassword):
    def clean_email_address(self) -> str:
        address: str = self.cleaned_data["email_address"]
        others = Mailbox.objects.exclude(pk=self.instance.pk)
        if others.filter(email_address__iexact=address).exists():
            raise forms.ValidationError(_("There is a mailbox with this address already."))
        return address

    def clean(self) -> None:
        super().clean()
        profile = self.cleaned_data.get("profile")
        of_its_own = EmailServerProfile.Credentials.MAILBOX
        if profile is not None and profile.credentials == of_its_own:
            if not self.cleaned_data.get("username"):
                self.add_error(
                    "username", _("This server profile wants an account of the mailbox's own.")
                )
            if not self.cleaned_data.get("password"):
                self.add_error("password", _("Enter the password of this account."))


class MappingForm(forms.ModelForm):
    class Meta:
        model = MailboxMapping
        fields = ["user", "queue", "ended_at"]

    def clean(self) -> None:
        super().clean()
        user, queue = self.cleaned_data.get("user"), self.cleaned_data.get("queue")
        if (user is None) == (queue is None):
            self.add_error("user", _("Choose either a user or a queue."))
            return
        others = MailboxMapping.objects.exclude(pk=self.instance.pk)
        theirs = others.filter(user=user, queue=queue, ended_at=None).first()
        if theirs is not None and self.cleaned_data.get("ended_at") is None:
            self.add_error(
                "user" if user else "queue",
                _("%(owner)s has the mailbox %(mailbox)s already, and may have one only.")
                % {"owner": user or queue, "mailbox": theirs.mailbox},
            )


class MappingFormSet(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        in_force = [
            form
            for form in self.forms
            if form.cleaned_data.get("user") or form.cleaned_data.get("queue")
            if form.cleaned_data.get("ended_at") is None
        ]
        if len(in_force) > 1:
            raise forms.ValidationError(
                _("A mailbox has one owner: end the present mapping before you add another.")
            )


class MappingInline(admin.TabularInline):
    """Whose mailbox it is. Ended mappings stay: they explain who owned older mail."""

    model = MailboxMapping
    form = MappingForm
    formset = MappingFormSet
    autocomplete_fields = ["user", "queue"]
    extra = 0
    min_num = 1
    can_delete = False
    verbose_name = _("owner")
    verbose_name_plural = _("owner")


class ScheduledAdmin(admin.ModelAdmin):
    """Records that the schedule follows, in the transaction of the change."""

    show_full_result_count = False

    def mailboxes_of(self, record: Any) -> Iterable[int]:
        raise NotImplementedError

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        # Who may only view gets every field as text; the password is not for reading.
        return [
            (title, {**options, "fields": [f for f in options["fields"] if f != "password"]})
            for title, options in fieldsets
        ]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        schedule.plan(self.mailboxes_of(form.instance))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(EmailServerProfile)
class EmailServerProfileAdmin(ScheduledAdmin):
    form = ProfileForm
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    list_display = ["name", "location", "authentication", "credentials", "verify_tls", "is_active"]
    list_filter = ["is_active", "verify_tls"]
    search_fields = ["name", "location"]
    fieldsets = [
        (None, {"fields": ["name", "description", "is_active"]}),
        (_("Server"), {"fields": ["server_type", "location", "verify_tls", "timeout_seconds"]}),
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
            _("Load"),
            {
                "fields": [
                    *("maximum_concurrent_connections", "maximum_requests_per_second"),
                    "minimum_polling_interval_minutes",
                ]
            },
        ),
    ]

    def mailboxes_of(self, record: EmailServerProfile) -> Iterable[int]:
        return record.mailboxes.values_list("pk", flat=True)


@admin.register(Mailbox)
class MailboxAdmin(ScheduledAdmin):
    form = MailboxForm
    inlines = [MappingInline]
    actions = ["switch_on", "switch_off"]
    list_display = ["email_address", "name", "profile", "enabled_for_incoming", "is_active"]
    list_filter = ["is_active", "enabled_for_incoming", "incoming_method", "profile"]
    list_select_related = ["profile"]
    search_fields = ["email_address", "name"]
    autocomplete_fields = ["profile"]
    fieldsets = [
        (None, {"fields": ["name", "email_address", "profile", "is_active"]}),
        (_("Incoming email"), {"fields": ["incoming_method", "enabled_for_incoming"]}),
        (
            _("Account of its own"),
            {
                "fields": ["username", "password"],
                "description": _(
                    "Used when the server profile leaves the account to each mailbox."
                ),
            },
        ),
    ]

    def mailboxes_of(self, record: Mailbox) -> Iterable[int]:
        return [record.pk]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailbox]:
        # A list needs no secrets, and can be shown when the key of one is lost.
        return super().get_queryset(request).defer("password", "profile__password")

    @admin.action(description=_("Switch incoming email on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        self._switch(request, chosen, on=True)

    @admin.action(description=_("Switch incoming email off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, chosen: QuerySet[Mailbox]) -> None:
        self._switch(request, chosen, on=False)

    def _switch(self, request: HttpRequest, chosen: QuerySet[Mailbox], *, on: bool) -> None:
        with transaction.atomic():
            changed = list(chosen.exclude(enabled_for_incoming=on).select_for_update(of=["self"]))
            ids = [mailbox.pk for mailbox in changed]
            Mailbox.objects.filter(pk__in=ids).update(enabled_for_incoming=on)
            schedule.plan(ids)
            fact = [{"changed": {"fields": ["enabled_for_incoming"]}}]
            LogEntry.objects.log_actions(str(request.user.pk), changed, CHANGE, fact)
        message = ngettext("%(number)d mailbox changed.", "%(number)d mailboxes changed.", len(ids))
        self.message_user(request, message % {"number": len(ids)}, messages.SUCCESS)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["mailbox", "lane", "due_at", "reason", "claimed_at", "failures", "fault_code"]
    list_filter = ["lane", "fault_code"]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address"]
    ordering = ["due_at"]


@admin.register(VisitStatistics)
class VisitStatisticsAdmin(ReadOnlyAdmin):
    list_display = [
        *("finished_at", "mailbox", "lane", "seconds", "requests"),
        *("stored", "linked", "failed", "more_left", "fault_code", "machine"),
    ]
    list_filter = ["lane", "more_left", "fault_code"]
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__email_address"]
    ordering = ["-finished_at"]
