"""Which implementation serves whom, and which account a server counts; nobody else knows."""

from syncservice.mailboxes.models import EmailServerProfile, Mailbox
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.gateway import Incoming

_AUTH_TYPES = {
    EmailServerProfile.Authentication.BASIC: "basic",
    EmailServerProfile.Authentication.NTLM: "NTLM",
}


def incoming(mailbox: Mailbox) -> Incoming:
    """Return the gateway for a mailbox's incoming email; no request is made yet."""
    return ExchangeIncoming(_exchange_server(mailbox), mailbox.email_address)


def credential(mailbox: Mailbox) -> str:
    """Name the account that the server counts connections of (F042), as a key without secrets."""
    profile = _profile(mailbox)
    if profile.credentials == EmailServerProfile.Credentials.PROFILE:
        return f"profile:{profile.pk}"
    return f"mailbox:{mailbox.pk}"


def _exchange_server(mailbox: Mailbox) -> ExchangeServer:
    profile = _profile(mailbox)
    owner = profile if profile.credentials == EmailServerProfile.Credentials.PROFILE else mailbox
    return ExchangeServer(
        endpoint=profile.location,
        username=owner.username,
        password=owner.password,
        auth_type=_AUTH_TYPES[EmailServerProfile.Authentication(profile.authentication)],
        impersonate=profile.use_impersonation,
        verify_tls=profile.verify_tls,
        timeout_seconds=profile.timeout_seconds,
    )


def _profile(mailbox: Mailbox) -> EmailServerProfile:
    assert mailbox.profile is not None, "a mailbox without a profile is never scheduled (F086)"
    return mailbox.profile
