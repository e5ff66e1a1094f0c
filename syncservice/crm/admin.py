"""Administration of users, queues and the people that mail comes from."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Account, Contact, Lead, Queue, User


@admin.register(User)
class CrmUserAdmin(UserAdmin):
    fieldsets = (
        *(UserAdmin.fieldsets or ()),
        (_("Incoming email"), {"fields": ["incoming_filter", "automatic_record"]}),
        (_("Outgoing email"), {"fields": ["lets_others_send"]}),
    )


@admin.register(Queue)
class QueueAdmin(admin.ModelAdmin):
    list_display = ["name", "email_address", "incoming_filter", "owner"]
    search_fields = ["name", "email_address"]
    autocomplete_fields = ["owner"]


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


@admin.register(Lead)
class LeadAdmin(EmailEnabledAdmin):
    list_display = ["__str__", "company_name", "email_address", "owner", "is_active"]
    list_select_related = ["owner"]
    search_fields = [
        *("first_name", "last_name", "company_name"),
        *("email_address", "email_address2", "email_address3"),
    ]
