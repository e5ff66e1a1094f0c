"""What profiles and mailboxes may ask for: a row a rule, and the fields that are complained of."""

import importlib.util

import pytest
from django.core.exceptions import ValidationError

from syncservice.crm.models import Queue
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import EmailServerProfile, Mailbox
from syncservice.mailboxes.rules import (
    is_exchange_online,
    mailbox_problems,
    profile_problems,
    warnings,
)

EXCHANGE, POP3, IMAP = EmailServerProfile.ServerType
CLEAR, TLS, STARTTLS = EmailServerProfile.Security
AUTO, NEGOTIATE, NTLM, BASIC = EmailServerProfile.Authentication
OF_MAILBOX, OF_PROFILE, INTEGRATED, WITHOUT = EmailServerProfile.Credentials
HAS_KERBEROS = importlib.util.find_spec("requests_gssapi") is not None

AN_EXCHANGE = {
    "server_type": EXCHANGE,
    "location": "https://mail.example.test/EWS/Exchange.asmx",
    "username": "svc",
    "password": "secret",
}
A_POP3 = {
    "server_type": POP3,
    "location": "pop.example.test",
    "outgoing_location": "smtp.example.test",
    "username": "svc",
    "password": "secret",
}
NO_ACCOUNT = {"username": "", "password": ""}
OWN_OUTGOING = {
    "same_settings_for_outgoing": False,
    "outgoing_username": "out",
    "outgoing_password": "secret",
}


def an_exchange(**changes) -> EmailServerProfile:
    return EmailServerProfile(**{**AN_EXCHANGE, **changes})


def a_pop3(**changes) -> EmailServerProfile:
    return EmailServerProfile(**{**A_POP3, **changes})


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        pytest.param({}, [], id="a URL and an account are enough"),
        pytest.param({"location": ""}, ["location"], id="somebody must know the URL"),
        pytest.param({"location": "", "use_autodiscover": True}, [], id="autodiscover may"),
        pytest.param({"location": "mail.example.test"}, ["location"], id="a name is no URL"),
        pytest.param({"location": "ftp://x.test/"}, ["location"], id="nor is another protocol's"),
        pytest.param({"location": "https://[::1/EWS"}, ["location"], id="nor is half an address"),
        pytest.param({"location": "https://mail/EWS"}, [], id="inner networks have short names"),
        pytest.param({"location": "https://MAIL/EWS"}, [], id="in any case"),
        pytest.param({"location": "HTTPS://mail.example.test/"}, [], id="a scheme has no case"),
        pytest.param(
            {"location": "http://x.test/EWS"}, ["location"], id="no password in the clear"
        ),
        pytest.param({"location": "http://127.0.0.1:8/EWS"}, [], id="but to this machine"),
        pytest.param({"location": "http://localhost/EWS"}, [], id="by its name too"),
        pytest.param({"location": "http://[::1]:8/EWS"}, [], id="or by its other address"),
        pytest.param(
            {"outgoing_location": "smtp.example.test"}, ["outgoing_location"], id="Exchange sends"
        ),
        pytest.param({"username": ""}, ["username"], id="an account has a name"),
        pytest.param({"password": ""}, ["password"], id="and a password"),
        pytest.param({"credentials": OF_MAILBOX, **NO_ACCOUNT}, [], id="or mailboxes have"),
        pytest.param({"credentials": WITHOUT}, ["credentials"], id="Exchange wants a login"),
        pytest.param(
            {"credentials": INTEGRATED, "authentication": BASIC},
            ["credentials"],
            id="the workers' identity needs Kerberos",
        ),
        pytest.param(
            {"credentials": INTEGRATED, "authentication": NEGOTIATE, **NO_ACCOUNT},
            [] if HAS_KERBEROS else ["authentication"],
            id="Kerberos needs its library",
        ),
        pytest.param({"authentication": NTLM}, [], id="NTLM is at hand"),
        pytest.param({"authentication": AUTO}, [], id="the server may be asked"),
        pytest.param({"use_impersonation": True}, [], id="one account may impersonate"),
        pytest.param(
            {"use_impersonation": True, "credentials": OF_MAILBOX, **NO_ACCOUNT},
            ["use_impersonation"],
            id="many accounts may not",
        ),
        pytest.param(OWN_OUTGOING, [], id="another account for outgoing email"),
        pytest.param(
            {"same_settings_for_outgoing": False},
            ["outgoing_username", "outgoing_password"],
            id="is complete as well",
        ),
        pytest.param(
            {**OWN_OUTGOING, "outgoing_credentials": WITHOUT},
            ["outgoing_credentials"],
            id="Exchange wants a login for sending, too",
        ),
        pytest.param(
            {
                **OWN_OUTGOING,
                "outgoing_credentials": OF_MAILBOX,
                "outgoing_use_impersonation": True,
            },
            ["outgoing_use_impersonation"],
            id="many accounts may not impersonate for sending",
        ),
        pytest.param({"encoding": "iso-8859-15"}, [], id="an encoding"),
        pytest.param({"encoding": "klingon"}, ["encoding"], id="that exists"),
        pytest.param({"encoding": "base64"}, ["encoding"], id="and is one of text"),
        pytest.param({"move_failed_to_undeliverable": True}, [], id="Exchange has folders"),
        pytest.param({"grant_delegate_access": True}, [], id="and delegates"),
    ],
)
def test_what_a_profile_of_exchange_must_say(changes, fields):
    assert sorted(profile_problems(an_exchange(**changes))) == sorted(fields)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        pytest.param({}, [], id="two servers and an account are enough"),
        pytest.param({"location": ""}, ["location"], id="a POP3 server"),
        pytest.param({"outgoing_location": ""}, ["outgoing_location"], id="an SMTP server"),
        pytest.param({"location": "pop3://x.test"}, ["location"], id="a name, not a URL"),
        pytest.param({"location": "x.test:995"}, ["location"], id="nor with a port"),
        pytest.param({"location": "2001:db8::7"}, [], id="an address has colons"),
        pytest.param({"outgoing_location": "a@x.test"}, ["outgoing_location"], id="not a mailbox"),
        pytest.param({"security": CLEAR}, ["security"], id="no password in the clear"),
        pytest.param({"outgoing_security": CLEAR}, ["outgoing_security"], id="nor for sending"),
        pytest.param(
            {
                "location": "127.0.0.1",
                "security": CLEAR,
                "outgoing_location": "localhost",
                "outgoing_security": CLEAR,
            },
            [],
            id="but to this machine",
        ),
        pytest.param({"security": STARTTLS, "outgoing_security": TLS}, [], id="either TLS"),
        pytest.param({"use_autodiscover": True}, ["use_autodiscover"], id="no autodiscover"),
        pytest.param({"use_impersonation": True}, ["use_impersonation"], id="no impersonation"),
        pytest.param(
            {**OWN_OUTGOING, "outgoing_use_impersonation": True},
            ["outgoing_use_impersonation"],
            id="none for sending either",
        ),
        pytest.param(
            {"move_failed_to_undeliverable": True},
            ["move_failed_to_undeliverable"],
            id="no folders",
        ),
        pytest.param({"grant_delegate_access": True}, ["grant_delegate_access"], id="no delegates"),
        pytest.param({"authentication": NTLM}, ["authentication"], id="no NTLM"),
        pytest.param({"authentication": NEGOTIATE}, ["authentication"], id="no Kerberos"),
        pytest.param({"credentials": WITHOUT}, ["credentials"], id="POP3 wants a login"),
        pytest.param({"credentials": INTEGRATED}, ["credentials"], id="no identity of the workers"),
        pytest.param(
            {"same_settings_for_outgoing": False, "outgoing_credentials": WITHOUT},
            [],
            id="SMTP may want no login",
        ),
        pytest.param(
            {**OWN_OUTGOING, "outgoing_authentication": NTLM},
            ["outgoing_authentication"],
            id="no NTLM for sending",
        ),
        pytest.param(
            {"outgoing_authentication": NTLM}, [], id="what holds for incoming hides the other"
        ),
    ],
)
@pytest.mark.parametrize("server_type", [POP3, IMAP])
def test_what_a_profile_of_pop3_or_imap_and_smtp_must_say(server_type, changes, fields):
    profile = a_pop3(server_type=server_type, **changes)
    assert sorted(profile_problems(profile)) == sorted(fields)


def test_mail_in_the_clear_can_be_allowed(settings):
    settings.ALLOW_UNENCRYPTED_MAIL_SERVERS = True
    assert profile_problems(an_exchange(location="http://mail.example.test/EWS")) == {}
    assert profile_problems(a_pop3(security=CLEAR, outgoing_security=CLEAR)) == {}


def test_every_problem_comes_with_a_sentence():
    problems = profile_problems(a_pop3(location="", authentication=NTLM, use_autodiscover=True))
    assert {field: [str(text)[-1] for text in texts] for field, texts in problems.items()} == {
        "location": ["."], "authentication": ["."], "use_autodiscover": ["."]
    }  # fmt: skip


SHARED, IMPERSONATING = {}, {"use_impersonation": True}
EACH_ITS_OWN = {"credentials": OF_MAILBOX, **NO_ACCOUNT}
ITS_ACCOUNT = {"allow_credentials": True, "username": "ann", "password": "secret"}
SENDING_ITS_OWN = {"same_settings_for_outgoing": False, "outgoing_credentials": OF_MAILBOX}
NOTHING = {"incoming_method": 0, "outgoing_method": 0, "act_method": 2}
WANTED = ["allow_credentials", "username", "password"]


@pytest.mark.parametrize(
    ("profile", "changes", "fields"),
    [
        pytest.param(None, {}, [], id="a mailbox needs no profile"),
        pytest.param(an_exchange(), {"outgoing_method": 2}, [], id="email both ways"),
        pytest.param(an_exchange(**IMPERSONATING), {"act_method": 1}, [], id="ACT impersonated"),
        pytest.param(an_exchange(), {"act_method": 1}, ["act_method"], id="ACT not by delegation"),
        pytest.param(
            an_exchange(**EACH_ITS_OWN), {"act_method": 1, **ITS_ACCOUNT}, [], id="ACT as itself"
        ),
        pytest.param(a_pop3(), {"act_method": 1}, ["act_method"], id="POP3 has no calendar"),
        pytest.param(
            a_pop3(server_type=IMAP), {"act_method": 1}, ["act_method"], id="nor has IMAP"
        ),
        pytest.param(a_pop3(), {"outgoing_method": 2}, [], id="SMTP sends"),
        pytest.param(an_exchange(**EACH_ITS_OWN), {}, WANTED, id="an account of its own"),
        pytest.param(an_exchange(**EACH_ITS_OWN), ITS_ACCOUNT, [], id="that is allowed"),
        pytest.param(
            an_exchange(**EACH_ITS_OWN),
            {**ITS_ACCOUNT, "allow_credentials": False},
            ["allow_credentials"],
            id="and must be",
        ),
        pytest.param(
            an_exchange(**EACH_ITS_OWN), NOTHING, [], id="who does nothing needs no account"
        ),
        pytest.param(a_pop3(**SENDING_ITS_OWN), {}, [], id="nor does a reader, for sending"),
        pytest.param(
            a_pop3(**SENDING_ITS_OWN), {"outgoing_method": 2}, WANTED, id="but a sender does"
        ),
        pytest.param(an_exchange(), {"is_forward": True}, [], id="a forward mailbox reads"),
        pytest.param(
            an_exchange(),
            {"is_forward": True, "outgoing_method": 2},
            ["outgoing_method"],
            id="a forward mailbox sends nothing",
        ),
        pytest.param(
            an_exchange(**IMPERSONATING),
            {"is_forward": True, "act_method": 1},
            ["act_method"],
            id="a forward mailbox has no calendar",
        ),
        pytest.param(
            an_exchange(),
            {"is_forward": True, "incoming_method": 3},
            ["incoming_method"],
            id="a forward mailbox forwards to no other",
        ),
        pytest.param(
            an_exchange(), {"incoming_method": 3}, [], id="others may forward to one"
        ),
        pytest.param(
            an_exchange(),
            {"delete_after_processing": True},
            ["delete_after_processing"],
            id="nothing of a user's is deleted",
        ),
        pytest.param(
            an_exchange(),
            {"delete_after_processing": True, "is_forward": True},
            [],
            id="what was forwarded may be",
        ),
    ],
)  # fmt: skip
def test_what_a_mailbox_may_ask_for(profile, changes, fields):
    box = Mailbox(email_address="ann@example.test", profile=profile, **changes)
    assert sorted(mailbox_problems(box)) == sorted(fields)


@pytest.mark.django_db
def test_what_came_to_a_queue_may_be_deleted():
    box = administration.mailbox_of(Queue.objects.create(name="Support"))
    box.delete_after_processing = True
    assert mailbox_problems(box) == {}


@pytest.mark.django_db
def test_a_form_tells_the_problem_beside_its_field():
    with pytest.raises(ValidationError) as caught:
        an_exchange(name="x", location="").full_clean()
    assert list(caught.value.message_dict) == ["location"]


@pytest.mark.parametrize(
    ("location", "answer"),
    [
        ("https://outlook.office365.com/EWS/Exchange.asmx", True),
        ("https://OUTLOOK.office365.com/EWS/Exchange.asmx", True),
        ("https://eu.outlook.office.com/EWS/Exchange.asmx", True),
        ("https://outlook.office365.us/EWS/Exchange.asmx", True),
        ("https://partner.outlook.cn/EWS/Exchange.asmx", True),
        ("https://mail.example.test/EWS/Exchange.asmx", False),
        ("https://outlook.office365.com.example.test/EWS/Exchange.asmx", False),
        ("https://myoutlook.office365.com/EWS/Exchange.asmx", False),
        ("https://mail.example.test/?outlook.office365.com", False),
        ("https://[::1/EWS", False),
        ("", False),
    ],
)
def test_exchange_online_is_known_by_its_name(location, answer):
    assert is_exchange_online(an_exchange(location=location)) is answer


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"location": "https://outlook.office365.com/EWS/Exchange.asmx"}, "2027-04-01"),
        ({"verify_tls": False}, "not verified"),
    ],
)
def test_what_works_today_may_deserve_a_word(changes, word):
    (sentence,) = warnings(an_exchange(**changes))
    assert word in str(sentence)
    assert profile_problems(an_exchange(**changes)) == {}


def test_an_ordinary_profile_deserves_none():
    assert warnings(an_exchange()) == []
