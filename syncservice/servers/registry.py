"""Which implementation serves whom, and which account a server counts; nobody else knows."""

from collections.abc import Callable, Mapping

from django.db.models.functions import Now

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.mailboxes.encryption import Undecryptable
from syncservice.mailboxes.models import Discovery, EmailServerProfile, Mailbox, Organisation
from syncservice.servers.exchange.access import ExchangeLook
from syncservice.servers.exchange.activities import ExchangeActivities
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.discovery import detect, discover
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.exchange.outgoing import ExchangeOutgoing
from syncservice.servers.gateway import Activities, Incoming, Organised, Outgoing
from syncservice.servers.imap import ImapIncoming
from syncservice.servers.imap_sent import ImapSentItems
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.pop3 import Pop3Incoming
from syncservice.servers.slots import Slots
from syncservice.servers.smtp import SmtpOutgoing

Authentication = EmailServerProfile.Authentication
Credentials = EmailServerProfile.Credentials
ServerType = EmailServerProfile.ServerType
Admit = Callable[[], None]

#: As exchangelib names them; AUTO stands for what was discovered.
AUTH_TYPES = {
    Authentication.BASIC: "basic",
    Authentication.NTLM: "NTLM",
    Authentication.NEGOTIATE: "gssapi",
}
#: What the numbers of a profile's record mean to the adapters.
_SECURITY = {
    EmailServerProfile.Security.NONE: Security.NONE,
    EmailServerProfile.Security.TLS: Security.TLS,
    EmailServerProfile.Security.STARTTLS: Security.STARTTLS,
}
_POP3_PORTS = {Security.TLS: 995, Security.STARTTLS: 110, Security.NONE: 110}
_IMAP_PORTS = {Security.TLS: 993, Security.STARTTLS: 143, Security.NONE: 143}
_ACCOUNT = ("username", "password")
_SMTP_PORTS = {Security.TLS: 465, Security.STARTTLS: 587, Security.NONE: 25}


def incoming(mailbox: Mailbox, admit: Admit) -> Incoming:
    """Return the gateway for a mailbox's incoming email; no request is made yet.

    `admit` is called before each request, and may raise FaultError instead of letting it out. Raise
    FaultError when the records don't say whom to log in as, or where.
    """
    profile = _profile(mailbox)
    if profile.is_exchange:
        return ExchangeIncoming(_exchange_server(mailbox), mailbox.email_address, admit)
    if profile.server_type == ServerType.IMAP_SMTP:
        return ImapIncoming(_mail_server(mailbox, "", profile.location, _IMAP_PORTS), admit)
    return Pop3Incoming(_mail_server(mailbox, "", profile.location, _POP3_PORTS), admit)


def organised(gateway: Incoming) -> Organised | None:
    """Return the folders and categories behind a gateway of `incoming`; None: POP3 has neither.

    What is asked of them belongs to the gateway's conversation, and ends with it.
    """
    return gateway.organised if isinstance(gateway, ExchangeIncoming) else None


def outgoing(mailbox: Mailbox, admit: Admit) -> Outgoing:
    """Return the gateway for a mailbox's outgoing email, as `incoming` does."""
    profile = _profile(mailbox)
    if profile.is_exchange:
        exchange = _exchange_server(mailbox, _outgoing_prefix(profile))
        return ExchangeOutgoing(exchange, mailbox.email_address, admit)
    server = _mail_server(mailbox, "outgoing_", profile.outgoing_location, _SMTP_PORTS)
    return SmtpOutgoing(server, mailbox.email_address, admit, _sent_items(mailbox, admit))


def _sent_items(mailbox: Mailbox, admit: Admit) -> ImapSentItems | None:
    """Return the sent items beside an SMTP server; None: nobody can be logged in as to see them.

    Email goes out without them, so their login is no condition of sending.
    """
    profile = _profile(mailbox)
    if profile.server_type != ServerType.IMAP_SMTP:
        return None
    try:
        server = _mail_server(mailbox, "", profile.location, _IMAP_PORTS)
    except FaultError:
        return None
    return ImapSentItems(server, admit) if server.username else None


def activities(mailbox: Mailbox, admit: Admit) -> Activities:
    """Return the gateway for a mailbox's appointments, contacts and tasks, as `incoming` does."""
    if not _profile(mailbox).is_exchange:
        raise FaultError(_NO_ACTIVITIES)
    return ExchangeActivities(
        _exchange_server(mailbox),
        mailbox.email_address,
        admit,
        Organisation.current().allowed_item_files,
    )


def look(mailbox: Mailbox, admit: Admit) -> ExchangeLook:
    """Return what tests the connection to an Exchange mailbox, as `incoming` does."""
    return ExchangeLook(_exchange_server(mailbox), mailbox.email_address, admit)


def discover_once(mailbox: Mailbox, slots: Slots) -> None:
    """Find a mailbox's server, if its profile leaves that to discovery and nobody has yet.

    One conversation of a profile does so, the others come back later. Raise FaultError.
    """
    profile = _profile(mailbox)
    if not needs_discovery(profile) or Discovery.objects.filter(profile=profile).exists():
        return
    with slots.hold({f"discovery:{profile.pk}": 1}, f"discovery:{mailbox.pk}"):
        if not Discovery.objects.filter(profile=profile).exists():
            discover_anew(mailbox)


def discover_anew(mailbox: Mailbox) -> Discovery:
    """Ask a profile's server where it is and how it wants to be logged in to; keep the answer.

    Raise FaultError when it can't be found.
    """
    profile = _profile(mailbox)
    username, password = _login(mailbox, "")
    if profile.use_autodiscover:
        found = discover(mailbox.email_address, username, password)
    else:
        found = detect(
            ExchangeServer(
                endpoint=profile.location,
                username=username,
                password=password,
                auth_type="",  # asked for
                impersonate=profile.use_impersonation,
                verify_tls=profile.verify_tls,
                timeout_seconds=profile.timeout_seconds,
            )
        )
    known = {name: authentication for authentication, name in AUTH_TYPES.items()}
    if found.auth_type not in known:
        raise FaultError(_unknown_authentication(found.auth_type))
    return Discovery.objects.update_or_create(
        profile=profile,
        defaults={
            "endpoint": found.endpoint,
            "authentication": known[found.auth_type],
            "version": found.version,
            "found_at": Now(),
        },
    )[0]


def accounts(mailbox: Mailbox, connections: int, *, outgoing: bool = False) -> dict[str, int]:
    """Name the accounts that count a conversation with a mailbox, and the slots of each (F042).

    A mailbox has one conversation at a time. The profile's account, where it has one, has as many
    as the profile says and the server bears now: `connections`.
    """
    profile = _profile(mailbox)
    # An SMTP server counts for itself; Exchange is one server both ways.
    side = ":outgoing" if outgoing and not profile.is_exchange else ""
    slots = {f"mailbox:{mailbox.pk}{side}": 1}
    if profile.login_is_shared_for(outgoing=outgoing):
        slots[f"profile:{profile.pk}{side}"] = connections
    return slots


def _exchange_server(mailbox: Mailbox, prefix: str = "") -> ExchangeServer:
    profile = _profile(mailbox)
    endpoint, version = profile.location, ""
    authentication = getattr(profile, f"{prefix}authentication")
    if needs_discovery(profile):
        found = Discovery.objects.filter(profile=profile).first()
        if found is None:
            raise FaultError(_NOT_DISCOVERED)
        version = found.version
        endpoint = found.endpoint if profile.use_autodiscover else endpoint
        if authentication == Authentication.AUTO:
            authentication = found.authentication
    username, password = _login(mailbox, prefix)
    return ExchangeServer(
        endpoint=endpoint,
        username=username,
        password=password,
        auth_type=AUTH_TYPES[Authentication(authentication)],
        impersonate=getattr(profile, f"{prefix}use_impersonation"),
        verify_tls=profile.verify_tls,
        timeout_seconds=profile.timeout_seconds,
        version=version,
    )


def needs_discovery(profile: EmailServerProfile) -> bool:
    """Whether its address, or how to log in, has to be asked of the server once."""
    if not profile.is_exchange:
        return False
    detects = Authentication.AUTO in (
        profile.authentication,
        profile.outgoing_authentication if not profile.same_settings_for_outgoing else None,
    )
    return profile.use_autodiscover or detects


def _mail_server(
    mailbox: Mailbox, prefix: str, host: str, ports: Mapping[Security, int]
) -> MailServer:
    profile = _profile(mailbox)
    security = _SECURITY[getattr(profile, f"{prefix}security")]
    username, password = _login(mailbox, _outgoing_prefix(profile) if prefix else "")
    return MailServer(
        host=host,
        port=getattr(profile, f"{prefix}port") or ports[security],
        security=security,
        username=username,
        password=password,
        verify_tls=profile.verify_tls,
        timeout_seconds=profile.timeout_seconds,
    )


def _outgoing_prefix(profile: EmailServerProfile) -> str:
    """Begin the names of the fields that hold the account for outgoing email."""
    return "" if profile.same_settings_for_outgoing else "outgoing_"


def _login(mailbox: Mailbox, prefix: str) -> tuple[str, str]:
    """Return user name and password; both '' where the server wants none."""
    profile = _profile(mailbox)
    credentials = getattr(profile, f"{prefix}credentials")
    if credentials in (Credentials.NONE, Credentials.INTEGRATED):
        return "", ""
    if credentials == Credentials.PROFILE:
        username, password = (getattr(profile, f"{prefix}{name}") for name in _ACCOUNT)
        scope = Scope.PROFILE
    else:
        if not (mailbox.allow_credentials and mailbox.username and mailbox.password):
            raise FaultError(_NO_CREDENTIALS)
        username, password = mailbox.username, mailbox.password
        scope = Scope.MAILBOX
    if isinstance(password, Undecryptable):
        raise FaultError(_key_lost(scope))
    return username, password


def _profile(mailbox: Mailbox) -> EmailServerProfile:
    assert mailbox.profile is not None, "a mailbox without a profile is never scheduled (F086)"
    return mailbox.profile


_NO_CREDENTIALS = Fault(
    code="mailbox.no_credentials",
    nature=Nature.PERMANENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.US,
    text="the server profile wants an account of the mailbox's own; enter user name and password, "
    "and allow their use",
)
_NO_ACTIVITIES = Fault(
    code="mailbox.no_activities",
    nature=Nature.PERMANENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.US,
    text="POP3, IMAP and SMTP carry email only; set appointments, contacts and tasks to none",
)
_NOT_DISCOVERED = Fault(
    code="profile.autodiscover_failed",
    nature=Nature.TRANSIENT,
    scope=Scope.PROFILE,
    provenance=Provenance.US,
    text="the server has not been found yet; test the profile's connection",
)


def _key_lost(scope: Scope) -> Fault:
    return Fault(
        code=f"{scope}.key_lost",
        nature=Nature.TRANSIENT,
        scope=scope,
        provenance=Provenance.US,
        text="none of CREDENTIAL_KEYS decrypts the stored password; restore the key that it was "
        "stored with, or enter the password again",
    )


def _unknown_authentication(name: str) -> Fault:
    return Fault(
        code="profile.autodiscover_failed",
        nature=Nature.PERMANENT,
        scope=Scope.PROFILE,
        provenance=Provenance.HTTP,
        text=f"the server wants {name} authentication, which is not supported; "
        "let it offer Basic, NTLM or Negotiate",
    )
