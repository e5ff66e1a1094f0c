"""Which implementation serves whom, and which account a server counts; nobody else knows."""

from collections.abc import Callable

from syncservice.mailboxes.models import EmailServerProfile, Mailbox
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.gateway import Incoming

_AUTH_TYPES = {
    EmailServerProfile.Authentication.BASIC: "basic",
    EmailServerProfile.Authentication.NTLM: "NTLM",
}


def incoming(mailbox: Mailbox, admit: Callable[[], None]) -> Incoming:
    """Return the gateway for a mailbox's incoming email; no request is made yet.

    `admit` is called before each request, and may raise FaultError instead of letting it out.
    """
    return ExchangeIncoming(_exchange_server(mailbox), mailbox.email_address, admit)


def accounts(mailbox: Mailbox, connections: int) -> dict[str, int]:
    """Name the accounts that count a conversation with a mailbox, and the slots of each (F042).

    A mailbox has one conversation at a time. The profile's account, where it has one, has as many
    as the profile says and the server bears now: `connections`.
    """
    profile = _profile(mailbox)
    slots = {f"mailbox:{mailbox.pk}": 1}
    if profile.credentials == EmailServerProfile.Credentials.PROFILE:
        slots[f"profile:{profile.pk}"] = connections
    return slots


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
