"""What server profiles and mailboxes may ask for together, and why not (REFERENCE 1B, 1C, 1D).

Each function looks at a record before it is saved, and at what it hangs on in the database, and
returns the problems, a sentence with the remedy for each field: Django's forms show them in place,
the command line as one line.
"""

import codecs
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from syncservice.mailboxes.models import (
    ActMethod,
    Discovery,
    EmailServerProfile,
    IncomingMethod,
    Mailbox,
    OutgoingMethod,
)

Authentication = EmailServerProfile.Authentication
Credentials = EmailServerProfile.Credentials
Security = EmailServerProfile.Security
Problems = dict[str, list[str | Promise]]

#: Where Exchange Online answers EWS; the last ones are national clouds.
_EXCHANGE_ONLINE = (
    "outlook.office365.com",
    "outlook.office.com",
    "outlook.office365.us",
    "partner.outlook.cn",
)


def warnings(profile: EmailServerProfile) -> list[str | Promise]:
    """Return what works today and deserves a word all the same."""
    found: list[str | Promise] = []
    if is_exchange_online(profile):
        found.append(
            _(
                "Exchange Online switches EWS off on 2027-04-01; mailboxes there can't be kept in "
                "step this way any more from that day on."
            )
        )
    if not profile.verify_tls:
        found.append(
            _("The server's certificate is not verified: anyone in between can read the mail.")
        )
    return found


def is_exchange_online(profile: EmailServerProfile) -> bool:
    """Whether its server is Microsoft's own cloud, where EWS ends on 2027-04-01."""
    if not profile.is_exchange:
        return False
    location = profile.location
    if not location and profile.pk:
        found = Discovery.objects.filter(profile=profile.pk).first()
        location = found.endpoint if found else ""
    host = _host_of(location)
    return any(host == known or host.endswith(f".{known}") for known in _EXCHANGE_ONLINE)


def profile_problems(profile: EmailServerProfile) -> Problems:
    """Return why no server can be reached with this profile; empty: it may be saved."""
    problems: Problems = {}
    if profile.is_exchange:
        _exchange_problems(profile, problems)
    else:
        _other_problems(profile, problems)
    _account_problems(profile, problems, "")
    if not profile.same_settings_for_outgoing:
        _account_problems(profile, problems, "outgoing_")
    if profile.encoding and not _is_encoding(profile.encoding):
        _add(problems, "encoding", _("There is no such encoding; leave it empty for UTF-8."))
    return problems


def _exchange_problems(profile: EmailServerProfile, problems: Problems) -> None:
    if profile.location:
        try:
            URLValidator(schemes=["http", "https"])(_with_dots(profile.location))
        except ValidationError:
            _add(problems, "location", _("Expected a URL that begins with https://"))
        else:
            encrypted = urlsplit(profile.location).scheme == "https"
            _check_encrypted(problems, "location", encrypted, _host_of(profile.location))
    elif not profile.use_autodiscover:
        _add(problems, "location", _("Enter the server's URL, or let autodiscover find it."))
    if profile.outgoing_location:
        _add(
            problems,
            "outgoing_location",
            _("Email of an Exchange mailbox goes out through Exchange too; leave this empty."),
        )


def _other_problems(profile: EmailServerProfile, problems: Problems) -> None:
    for prefix in ("", "outgoing_"):
        host = getattr(profile, f"{prefix}location")
        if not host or any(sign in host for sign in "/@ ") or host.count(":") == 1:
            _add(problems, f"{prefix}location", _("Enter the server's name, without a protocol."))
            continue
        security = getattr(profile, f"{prefix}security")
        _check_encrypted(problems, f"{prefix}security", security != Security.NONE, host)
    for field, reason in {
        "use_autodiscover": _("Only Exchange has autodiscover."),
        "use_impersonation": _("Only Exchange has impersonation."),
        "outgoing_use_impersonation": _("Only Exchange has impersonation."),
        "move_failed_to_undeliverable": _("Only Exchange has folders to move email to."),
        "grant_delegate_access": _("Only Exchange has delegates."),
    }.items():
        if getattr(profile, field):
            _add(problems, field, reason)


def _account_problems(profile: EmailServerProfile, problems: Problems, prefix: str) -> None:
    """Check one of the two accounts: `prefix` begins the names of its fields."""
    credentials = getattr(profile, f"{prefix}credentials")
    authentication = getattr(profile, f"{prefix}authentication")
    if credentials == Credentials.PROFILE:
        if not getattr(profile, f"{prefix}username"):
            _add(
                problems,
                f"{prefix}username",
                _("Enter the account that opens the mailboxes, or leave it to each mailbox."),
            )
        if not getattr(profile, f"{prefix}password"):
            _add(problems, f"{prefix}password", _("Enter the password of this account."))
    elif credentials == Credentials.NONE and (profile.is_exchange or not prefix):
        _add(
            problems,
            f"{prefix}credentials",
            _("Only an SMTP server may be used without an account."),
        )
    elif credentials == Credentials.INTEGRATED and (
        not profile.is_exchange or authentication != Authentication.NEGOTIATE
    ):
        _add(
            problems,
            f"{prefix}credentials",
            _("The workers' own identity needs Exchange and Negotiate (Kerberos)."),
        )
    if getattr(profile, f"{prefix}use_impersonation") and credentials == Credentials.MAILBOX:
        _add(
            problems,
            f"{prefix}use_impersonation",
            _("Impersonation needs one account for all mailboxes; specify it in this profile."),
        )
    if not profile.is_exchange and authentication in (
        Authentication.NTLM,
        Authentication.NEGOTIATE,
    ):
        _add(
            problems,
            f"{prefix}authentication",
            _("POP3, IMAP and SMTP servers are logged in to by Basic authentication."),
        )
    elif authentication == Authentication.NEGOTIATE and find_spec("requests_gssapi") is None:
        _add(
            problems,
            f"{prefix}authentication",
            _("Negotiate needs a library: install syncservice[kerberos] on every worker."),
        )


def _check_encrypted(problems: Problems, field: str, encrypted: bool, host: str) -> None:
    """Passwords and mail don't travel in the clear, except to this machine or by setting."""
    if encrypted or settings.ALLOW_UNENCRYPTED_MAIL_SERVERS:
        return
    if not _is_loopback(host):
        _add(
            problems,
            field,
            _(
                "Without TLS anyone in between reads passwords and mail; "
                "use TLS, or set ALLOW_UNENCRYPTED_MAIL_SERVERS."
            ),
        )


def carries_activities(profile: EmailServerProfile | None) -> bool:
    """Whether appointments, contacts and tasks can be kept in step by a profile: Exchange, and not
    by delegation (F040).
    """
    return profile is not None and profile.is_exchange and not profile.account_is_shared


def mailbox_problems(mailbox: Mailbox) -> Problems:
    """Return why a mailbox can't be kept in step as its record says; empty: it may be saved."""
    problems: Problems = {}
    profile = mailbox.profile
    if mailbox.act_method == ActMethod.SERVER_SIDE and profile is not None:
        if not profile.is_exchange:
            _add(
                problems,
                "act_method",
                _(
                    "POP3, IMAP and SMTP carry email only; "
                    "set appointments, contacts and tasks to none."
                ),
            )
        elif not carries_activities(profile):
            _add(
                problems,
                "act_method",
                _(
                    "Appointments, contacts and tasks can't be kept in step by delegation; "
                    "let the profile use impersonation."
                ),
            )
    if mailbox.is_forward:
        if mailbox.pk and mailbox.mappings.filter(ended_at=None).exists():
            _add(problems, "is_forward", _("A forward mailbox belongs to nobody."))
        if mailbox.incoming_method == IncomingMethod.FORWARD:
            _add(problems, "incoming_method", _("A forward mailbox is read itself."))
        if mailbox.outgoing_method != OutgoingMethod.NONE:
            _add(problems, "outgoing_method", _("A forward mailbox sends nothing."))
        if mailbox.act_method != ActMethod.NONE:
            _add(problems, "act_method", _("A forward mailbox holds email only."))
    if mailbox.delete_after_processing and not (mailbox.is_forward or _is_of_queue(mailbox)):
        _add(
            problems,
            "delete_after_processing",
            _("Email is deleted only from the mailboxes of queues and from forward mailboxes."),
        )
    if _needs_account(mailbox):
        if not mailbox.allow_credentials:
            _add(
                problems,
                "allow_credentials",
                _("This server profile wants an account of its own for each mailbox."),
            )
        if not mailbox.username:
            _add(problems, "username", _("Enter the user name of this account."))
        if not mailbox.password:
            _add(problems, "password", _("Enter the password of this account."))
    return problems


def _needs_account(mailbox: Mailbox) -> bool:
    profile = mailbox.profile
    if profile is None:
        return False
    outgoing = (
        profile.credentials if profile.same_settings_for_outgoing else profile.outgoing_credentials
    )
    incoming = mailbox.incoming_method == IncomingMethod.SERVER_SIDE
    activities = mailbox.act_method == ActMethod.SERVER_SIDE
    sends = mailbox.outgoing_method == OutgoingMethod.SERVER_SIDE
    return ((incoming or activities) and profile.credentials == Credentials.MAILBOX) or (
        sends and outgoing == Credentials.MAILBOX
    )


def _is_of_queue(mailbox: Mailbox) -> bool:
    if mailbox.queue_to_be is not None:
        return True
    in_force = mailbox.mappings.filter(ended_at=None) if mailbox.pk else None
    return in_force is not None and in_force.filter(queue__isnull=False).exists()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except LookupError:
        return False


def _host_of(url: str) -> str:
    """Return a URL's host in small letters; '' where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # half an IPv6 address
        return ""


def _with_dots(url: str) -> str:
    """Django's validator knows no names without dots, which inner networks have."""
    host = _host_of(url)
    if host and "." not in host and ":" not in host:
        start = url.lower().index(host, url.index("//"))
        return f"{url[: start + len(host)]}.invalid{url[start + len(host) :]}"
    return url


def _add(problems: Problems, field: str, reason: str | Promise) -> None:
    problems.setdefault(field, []).append(reason)
