"""Forms of server profiles and mailboxes: write-only passwords, and owners who are asked about."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Queue, User
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import Mailbox, MailboxMapping


class WithPasswords(forms.ModelForm):
    """A form whose passwords are write-only: never shown, and kept when the field stays empty.

    Over plain HTTP none is taken (F286): whoever listens in would have the whole organisation's
    mail. This machine itself may, and ALLOW_PASSWORDS_OVER_HTTP lets all.
    """

    PASSWORDS: tuple[str, ...] = ("password",)
    over_http = False  # set by the admin for each request

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.PASSWORDS:
            self.initial.pop(name, None)
            if name not in self.fields:  # it is not for those who may only view
                continue
            field = forms.CharField(
                label=self._meta.model._meta.get_field(name).verbose_name,
                required=False,
                strip=False,
                disabled=self.over_http,
                widget=forms.PasswordInput(
                    render_value=False,
                    attrs={"autocomplete": "new-password", "class": "vTextField"},
                ),
            )
            field.help_text = self._help_text(bool(getattr(self.instance, name)))
            self.fields[name] = field

    def _help_text(self, is_set: bool) -> Any:
        if self.over_http:
            return _("Passwords are not taken over plain HTTP; use HTTPS.")
        if is_set:
            return _("A password is set. Leave this empty to keep it.")
        return _("No password is set.")

    def clean(self) -> Any:
        cleaned = super().clean()
        for name in self.PASSWORDS:
            if name in self.fields:
                # A disabled field ignores what is sent; an empty one keeps what there is.
                self.cleaned_data[name] = self.cleaned_data.get(name) or getattr(
                    self.instance, name
                )
        return cleaned


class ProfileForm(WithPasswords):
    PASSWORDS = ("password", "outgoing_password")

    class Meta:
        help_texts = {
            "keeps_sent_copy": _(
                "In Exchange, or by IMAP. POP3 knows no folders: beside it no copy is kept."
            ),
            "unclear_sending": _(
                "A connection may break before the server has said what it did with an email, and "
                "the server can't always be asked afterwards. SMTP beside POP3 never can."
            ),
        }


class MailboxForm(WithPasswords):
    """A mailbox with its owner; a change of hands is asked about before it is made (F006)."""

    # Searched as one types: a list of all users would be longer than the page.
    user = forms.ModelChoiceField(
        User.objects.all(),
        label=_("user"),
        required=False,
        widget=AutocompleteSelect(MailboxMapping._meta.get_field("user"), admin.site),
    )
    queue = forms.ModelChoiceField(
        Queue.objects.all(),
        label=_("queue"),
        required=False,
        widget=AutocompleteSelect(MailboxMapping._meta.get_field("queue"), admin.site),
    )
    take_over = forms.BooleanField(
        label=_("Yes, end the former mapping and its synchronization"),
        required=False,
        widget=forms.HiddenInput,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owner = administration.owner_of(self.instance) if self.instance.pk else None
        if owner is not None:
            self.initial["user" if isinstance(owner, User) else "queue"] = owner.pk

    def clean_email_address(self) -> str:
        address: str = self.cleaned_data["email_address"]
        others = Mailbox.objects.exclude(pk=self.instance.pk)
        if address and others.filter(email_address__iexact=address).exists():
            raise forms.ValidationError(_("There is a mailbox with this address already."))
        return address

    def clean(self) -> Any:
        cleaned = super().clean()
        if "user" not in self.fields:  # for viewing only
            return cleaned
        user, queue = self.cleaned_data.get("user"), self.cleaned_data.get("queue")
        owner, is_forward = user or queue, self.cleaned_data.get("is_forward")
        self.instance.queue_to_be = queue
        if is_forward and (user or queue):
            self.add_error("is_forward", _("A forward mailbox belongs to nobody."))
        elif not is_forward and (user is None) == (queue is None):
            self.add_error("user", _("Choose either a user or a queue."))
        elif owner is not None and not self.cleaned_data.get("take_over"):
            asked = administration.question(self.instance, owner)
            if asked is not None:
                self.fields["take_over"].widget = forms.CheckboxInput()
                self.add_error("take_over", str(asked))
        return cleaned


def typed_fields(form: MailboxForm) -> list[str]:
    """Return the fields of the mailbox that a form changes; the address has a way of its own."""
    typed = set(form.changed_data) - {"email_address", "user", "queue", "take_over"}
    if "password" in typed:  # the account is one thing
        typed |= {"username", "allow_credentials"}
    return sorted(typed)
