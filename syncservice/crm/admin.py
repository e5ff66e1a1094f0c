"""Administration of users, queues, people, their activities, and what of these is synchronized."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from syncservice.crm import templates
from syncservice.crm.models import (
    Account,
    Appointment,
    AppointmentParty,
    Contact,
    Lead,
    Queue,
    SyncFilter,
    Task,
    User,
)
from syncservice.crm.models.tasks import STATUSES

_MANAGE_FILTERS = "crm.manage_sync_filters"


@admin.register(User)
class CrmUserAdmin(UserAdmin):
    fieldsets = (
        *(UserAdmin.fieldsets or ()),
        (_("Incoming email"), {"fields": ["incoming_filter", "automatic_record", "default_queue"]}),
        (_("Outgoing email"), {"fields": ["lets_others_send"]}),
        (_("Synchronization"), {"fields": ["time_zone", "company_from_account"]}),
    )
    autocomplete_fields = ["default_queue"]
    actions = ["reset_filters"]

    def has_filters_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(_MANAGE_FILTERS)

    @admin.action(description=_("Reset the synchronization filters"), permissions=["filters"])
    def reset_filters(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Give users the filters of new ones in the place of their own (F183)."""
        users = list(queryset)
        for user in users:
            templates.reset(user)
        message = ngettext(
            "The filters of %(number)d user are reset.",
            "The filters of %(number)d users are reset.",
            len(users),
        )
        self.message_user(request, message % {"number": len(users)}, messages.SUCCESS)


@admin.register(Queue)
class QueueAdmin(admin.ModelAdmin):
    list_display = ["name", "email_address", "incoming_filter", "owner"]
    search_fields = ["name", "email_address"]
    autocomplete_fields = ["owner"]


def _address(number: int) -> tuple[str, ...]:
    parts = ("street", "city", "state", "postal_code", "country")
    return tuple(f"address{number}_{part}" for part in parts)


class EmailEnabledAdmin(admin.ModelAdmin):
    """A record that mail can be sent to."""

    list_filter = ["is_active"]
    autocomplete_fields = ["owner"]
    show_full_result_count = False


@admin.register(Account)
class AccountAdmin(EmailEnabledAdmin):
    list_display = ["name", "email_address", "owner", "is_active"]
    search_fields = ["name", "email_address", "email_address2", "email_address3"]


@admin.register(Contact)
class ContactAdmin(EmailEnabledAdmin):
    list_display = ["__str__", "email_address", "account", "owner", "is_active"]
    list_select_related = ["account", "owner"]
    search_fields = ["first_name", "last_name", "email_address", "email_address2", "email_address3"]
    autocomplete_fields = ["owner", "account"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("first_name", "middle_name", "last_name"),
                    ("account", "company_name"),
                    ("job_title", "department"),
                    ("owner", "is_active"),
                    "description",
                ]
            },
        ),
        (
            _("Email and telephone"),
            {
                "fields": [
                    *("email_address", "email_address2", "email_address3"),
                    ("business_phone", "business_phone2", "mobile_phone"),
                    ("home_phone", "home_phone2", "other_phone"),
                    ("company_phone", "callback_phone", "assistant_phone"),
                    ("fax", "pager"),
                    ("web_site", "ftp_site"),
                ]
            },
        ),
        (_("Business address"), {"fields": _address(1)}),
        (_("Home"), {"fields": _address(2)}),
        (_("Elsewhere"), {"fields": _address(3)}),
        (
            _("Personal"),
            {
                "fields": [
                    ("nickname", "yomi_first_name", "yomi_last_name"),
                    ("birthday", "anniversary"),
                    ("spouse", "children"),
                    ("manager", "assistant"),
                    "government_id",
                ]
            },
        ),
    ]


@admin.register(Lead)
class LeadAdmin(EmailEnabledAdmin):
    list_display = ["__str__", "company_name", "email_address", "owner", "is_active"]
    list_select_related = ["owner"]
    search_fields = [
        *("first_name", "last_name", "company_name"),
        *("email_address", "email_address2", "email_address3"),
    ]


_REGARDING = ("regarding_account", "regarding_contact", "regarding_lead")


class ActivityAdmin(admin.ModelAdmin):
    """Something that somebody does, about a record."""

    search_fields = ["subject"]
    autocomplete_fields = ["owner", *_REGARDING]
    list_select_related = ["owner"]
    show_full_result_count = False


class PartyInline(admin.TabularInline):
    model = AppointmentParty
    fields = [
        *("participation", "user", "contact", "account", "lead", "queue"),
        *("address", "name", "response"),
    ]
    autocomplete_fields = ["user", "contact", "account", "lead", "queue"]
    extra = 1

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name in ("address", "name"):
            kwargs["widget"] = forms.TextInput
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(Appointment)
class AppointmentAdmin(ActivityAdmin):
    list_display = ["subject", "kind", "starts_at", "ends_at", "status", "owner"]
    list_filter = ["kind", "status"]
    date_hierarchy = "starts_at"
    inlines = [PartyInline]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("kind", "status", "priority"),
                    *("subject", "location", "description"),
                    ("starts_at", "ends_at", "is_all_day", "time_zone"),
                    ("reminder_minutes", "is_draft", "owner"),
                ]
            },
        ),
        (_("Regarding"), {"fields": _REGARDING}),
    ]


class TaskForm(forms.ModelForm):
    """Offers the statuses of all kinds; the record says which of them its kind has."""

    status = forms.TypedChoiceField(label=_("status"), coerce=int)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        said: dict[int, list[Any]] = {}
        for kind, statuses in STATUSES.items():
            for code, text in statuses.items():
                said.setdefault(code, []).append((kind.label, text))
        status = cast("forms.TypedChoiceField", self.fields["status"])
        status.choices = [
            (code, " / ".join(f"{kind}: {text}" for kind, text in meanings))
            for code, meanings in sorted(said.items())
        ]


@admin.register(Task)
class TaskAdmin(ActivityAdmin):
    form = TaskForm
    list_display = ["subject", "kind", "status_text", "due_at", "owner"]
    list_filter = ["kind"]
    date_hierarchy = "due_at"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("kind", "status", "priority"),
                    *("subject", "description"),
                    ("starts_at", "due_at"),
                    ("actual_start", "actual_end", "percent_complete"),
                    ("owner", "is_recurring"),
                ]
            },
        ),
        (_("Regarding"), {"fields": _REGARDING}),
    ]

    @admin.display(description=_("status"))
    def status_text(self, task: Task) -> str:
        return str(STATUSES[Task.Kind(task.kind)][task.status])


@admin.register(SyncFilter)
class SyncFilterAdmin(admin.ModelAdmin):
    """Everybody has own filters; those of others, of all and templates are managed (F181, F183)."""

    list_display = ["name", "entity", "kind", "user", "is_active"]
    list_filter = ["kind", "entity", "is_active"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username"]
    autocomplete_fields = ["user"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncFilter]:
        rows = super().get_queryset(request)
        if request.user.has_perm(_MANAGE_FILTERS):
            return rows
        return rows.filter(kind=SyncFilter.Kind.USER, user=cast("User", request.user))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own = ["name", "entity", "criteria", "is_active"]
        if request.user.has_perm(_MANAGE_FILTERS):
            return ["kind", "user", *own, "is_default"]
        return own

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: SyncFilter, form: Any, change: bool) -> None:
        if not request.user.has_perm(_MANAGE_FILTERS):
            obj.user = cast("User", request.user)
        super().save_model(request, obj, form, change)
