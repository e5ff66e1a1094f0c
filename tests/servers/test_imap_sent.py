"""Sent items over IMAP: in a real Dovecot, and in servers that say what it doesn't."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from syncservice.domain.faults import Fault, FaultError, Nature, Scope
from syncservice.mailboxes.models import EmailServerProfile
from syncservice.servers import registry
from syncservice.servers.gateway import MailObject, Whereabouts
from syncservice.servers.imap_sent import ImapSentItems
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.smtp import SmtpOutgoing
from tests import factories
from tests.memory_gateway import fault as some_fault
from tests.memory_gateway import mime
from tests.servers.dovecot import HAS_IMAP, WITHOUT_IMAP, Dovecot, dovecot
from tests.servers.scripted_server import CLOSE, IMAP, SILENCE, SMTP, scripted

MARKED = "namespace inbox {\n inbox = yes\n mailbox Uit {\n special_use = \\Sent\n }\n}\n"
needs_dovecot = pytest.mark.skipif(not HAS_IMAP, reason=WITHOUT_IMAP)
EXTENDED = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SPECIAL-USE LIST-EXTENDED\r\n<tag> OK done"


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot(imap=MARKED) as running:
        yield running


def make(post: Dovecot, user: str, *folders: str) -> None:
    with post.imap(user) as client:
        for folder in folders:
            assert client.create(folder)[0] == "OK"


def kept(post: Dovecot, user: str, folder: str) -> list[tuple[bytes, bytes]]:
    """What is told of each message in a folder, and its text."""
    with post.imap(user) as client:
        assert client.select(f'"{folder}"')[0] == "OK"
        rows = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
    return [row for row in rows if isinstance(row, tuple)]


@contextmanager
def listing(*rows: bytes, **more) -> Iterator:
    """Run a server that lists these folders, with the given answers besides."""
    listed = b"".join(b"* LIST " + row + b"\r\n" for row in rows) + b"<tag> OK done"
    with scripted(IMAP, {"LIST": listed, **more}) as running:
        yield running


def opened(*rows: bytes) -> str:
    """The folder that is opened when these are listed, as the command names it; '': none."""
    with listing(*rows) as running, ImapSentItems(running.server()) as sent:
        sent.holds("<1@x.test>")
    (command,) = [line for line in running.commands if line.startswith("EXAMINE")] or [" "]
    return command.partition(" ")[2]


# --- a real server --------------------------------------------------------------------------------


@needs_dovecot
@pytest.mark.parametrize("security", Security)
def test_what_is_added_is_found_and_read_already(post, security, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(post.certificate))
    user = f"added-{security}"
    make(post, user, "Uit", "Sent")
    message = mime("offer", message_id="<offer@x.test>")
    with ImapSentItems(post.imap_server(user, security)) as sent:
        assert not sent.holds("<offer@x.test>")
        sent.add(message)
        assert sent.holds("<offer@x.test>")
        assert not sent.holds("<other@x.test>")
    ((facts, text),) = kept(post, user, "Uit")  # the one that is marked
    assert text == message.replace(b"\n", b"\r\n")
    assert b"\\Seen" in facts
    assert b'"01-Mar-2026 12:00:00 +0000"' in facts


@needs_dovecot
@pytest.mark.parametrize("folder", ["Sent", "Sent Items", "Sent Messages", "INBOX.Sent"])
def test_without_a_mark_the_folder_is_known_by_its_name(post, folder):
    user = f"named-{folder}".replace(" ", "-")
    make(post, user, f'"{folder}"', "Other", '"Sent by fax"')
    with ImapSentItems(post.imap_server(user)) as sent:
        sent.add(mime("offer", message_id="<offer@x.test>"))
        assert sent.holds("<offer@x.test>")
    assert len(kept(post, user, folder)) == 1


@needs_dovecot
def test_where_there_is_no_such_folder_nothing_is_found_and_none_is_made(post):
    make(post, "without", "Other")
    with ImapSentItems(post.imap_server("without")) as sent:
        sent.add(mime("offer", message_id="<offer@x.test>"))
        assert not sent.holds("<offer@x.test>")
    with post.imap("without") as client:
        assert not [row for row in client.list()[1] if b"Sent" in row or b"Uit" in row]


@needs_dovecot
def test_what_another_program_puts_there_meanwhile_is_found(post):
    make(post, "meanwhile", "Uit")
    with ImapSentItems(post.imap_server("meanwhile")) as sent:
        assert not sent.holds("<offer@x.test>")
        with post.imap("meanwhile") as client:
            client.append("Uit", "", "", mime("offer", message_id="<offer@x.test>"))
        assert sent.holds("<offer@x.test>")


@needs_dovecot
@pytest.mark.parametrize("date", [b"", b"Date: yesterday\n", b"Date: 99 Foo 2026 12:00\n"])
def test_a_message_without_a_date_is_kept_all_the_same(post, date):
    user = f"undated-{len(date)}"
    make(post, user, "Uit")
    with ImapSentItems(post.imap_server(user)) as sent:
        sent.add(date + b"Message-ID: <1@x.test>\n\nhello\n")
        assert sent.holds("<1@x.test>")


@needs_dovecot
def test_a_large_message_is_kept_whole(post):
    make(post, "large", "Uit")
    message = mime("large", attached=bytes(range(256)) * 2**14)
    with ImapSentItems(post.imap_server("large")) as sent:
        sent.add(message)
    ((_, text),) = kept(post, "large", "Uit")
    assert text == message.replace(b"\n", b"\r\n")


# --- odd servers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "folder"),
    [
        ([rb'(\HasNoChildren \Sent) "/" "[Gmail]/Sent Mail"'], '"[Gmail]/Sent Mail"'),
        ([rb'() "/" Sent', rb'(\SENT) "/" Uit'], '"Uit"'),
        ([rb'(\Sent) "/" "a \"b\" \\c"'], r'"a \"b\" \\c"'),
        ([rb"(\Sent) NIL Uit"], '"Uit"'),
        ([rb'(\Sent) "/" {5}' + b"\r\nA (b)"], '"A (b)"'),
        ([rb'(\Sent) "/" Uit ("CHILDINFO" ("SUBSCRIBED"))'], '"Uit"'),
        ([rb'(\Sent \Noselect) "/" Uit', rb'() "/" "Sent Items"'], '"Sent Items"'),
        ([rb'(\Sent \NonExistent) "/" Uit'], ""),
        ([rb'() "/" "sent items"', rb'() "/" Sent'], '"Sent"'),
        ([rb'() "." "Inbox.Sent Items"'], '"Inbox.Sent Items"'),
        ([rb'() "\\" "INBOX\\Sent"'], r'"INBOX\\Sent"'),
        ([rb'() "/" INBOX', rb'() "/" Archive/Sent', rb'() NIL INBOXSent'], ""),
        ([b'(\\Sent) "/" "\xff"', b'(\\Sent) "/" "a\x07b"', rb"nonsense"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_the_folder_is_found_in_any_listing(rows, folder):
    assert opened(*rows) == folder


@pytest.mark.parametrize(
    ("capability", "command"),
    [(IMAP["CAPABILITY"], 'LIST "" "*"'), (EXTENDED, 'LIST "" "*" RETURN (SPECIAL-USE)')],
)
def test_marks_are_asked_for_where_that_is_known(capability, command):
    with listing(CAPABILITY=capability) as running, ImapSentItems(running.server()) as sent:
        sent.holds("<1@x.test>")
    assert command in running.commands


SENT = rb'(\Sent) "/" Sent'


@pytest.mark.parametrize(
    ("command", "reply", "code", "nature", "scope"),
    [
        ("LIST", b"<tag> NO no", "sent_items_refused", Nature.TRANSIENT, Scope.EMAIL),
        ("EXAMINE", b"<tag> NO no", "sent_items_refused", Nature.TRANSIENT, Scope.EMAIL),
        ("UID SEARCH", b"<tag> BAD what", "sent_items_refused", Nature.TRANSIENT, Scope.EMAIL),
        ("APPEND", b"<tag> NO no", "sent_items_refused", Nature.TRANSIENT, Scope.EMAIL),
        ("APPEND", b"<tag> NO [OVERQUOTA] full", "over_quota", Nature.PERMANENT, Scope.MAILBOX),
        ("APPEND", CLOSE, "connection_lost", Nature.TRANSIENT, Scope.PROFILE),
        ("APPEND", b"+ go on\r\n" + CLOSE, "connection_lost", Nature.TRANSIENT, Scope.PROFILE),
        ("APPEND", SILENCE, "timed_out", Nature.TRANSIENT, Scope.PROFILE),
        (".", b"<tag> NO wrong", "login_refused", Nature.PERMANENT, Scope.MAILBOX),
    ],
)
def test_what_a_server_refuses_is_a_fault_of_ours(command, reply, code, nature, scope):
    fault = trouble({command: reply})
    assert (fault.code, fault.nature, fault.scope) == (f"imap.{code}", nature, scope)


def trouble(replies) -> Fault:
    """Keep a message that isn't there yet; return the fault."""

    def keep(sent: ImapSentItems) -> None:
        assert not sent.holds("<1@x.test>")
        sent.add(b"\n")

    replies = {"UID SEARCH": b"* SEARCH\r\n<tag> OK done", **replies}
    with listing(SENT, **replies) as running:
        server = running.server(timeout_seconds=1)
        with ImapSentItems(server) as sent, pytest.raises(FaultError) as caught:
            keep(sent)
        running.wait_until_left()
    return caught.value.fault


def test_after_a_lost_connection_the_next_question_is_asked_over_another():
    said = iter([CLOSE, b"* SEARCH 4\r\n<tag> OK done"])
    with (
        listing(SENT, **{"UID SEARCH": lambda command: next(said)}) as running,
        ImapSentItems(running.server()) as sent,
    ):
        with pytest.raises(FaultError):
            sent.holds("<1@x.test>")
        assert sent.holds("<1@x.test>")
    assert running.connections == 2


@pytest.mark.parametrize("command", ["LIST", "CAPABILITY"])
def test_a_folder_that_could_not_be_looked_for_is_looked_for_again(command):
    listed = b"* LIST " + SENT + b"\r\n<tag> OK done"
    good = {"LIST": listed, "CAPABILITY": IMAP["CAPABILITY"]}[command]
    begins = [good] if command == "CAPABILITY" else []  # the first is asked for before the login
    said = iter([*begins, b"<tag> NO not now", good])
    with (
        listing(SENT, **{command: lambda command: next(said)}) as running,
        ImapSentItems(running.server()) as sent,
    ):
        with pytest.raises(FaultError):
            sent.holds("<1@x.test>")
        assert sent.holds("<1@x.test>")
    assert running.connections == 1


def test_a_message_id_that_no_search_can_be_told_of_is_not_there():
    with listing(SENT) as running, ImapSentItems(running.server()) as sent:
        assert not sent.holds('<ä"@x.test>\r\n')
    assert not [line for line in running.commands if "SEARCH" in line]


def test_a_message_id_is_asked_for_as_one_word():
    with listing(SENT) as running, ImapSentItems(running.server()) as sent:
        assert sent.holds('<"a b"@x.test>')
    assert r'UID SEARCH HEADER Message-ID "<\"a b\"@x.test>"' in running.commands


def test_no_request_is_made_that_is_not_admitted():
    def admit() -> None:
        raise FaultError(some_fault(Nature.LIMITED))

    with listing(SENT) as running, ImapSentItems(running.server(), admit) as sent:
        with pytest.raises(FaultError):
            sent.holds("<1@x.test>")
        assert (sent.requests, running.connections) == (0, 0)


def test_every_command_is_admitted_and_counted():
    asked = []
    with listing(SENT) as running, ImapSentItems(running.server(), lambda: asked.append(1)) as sent:
        sent.holds("<1@x.test>")
        assert sent.requests == len(asked) == 5  # login, capabilities, folders, open, search


# --- beside an SMTP server ------------------------------------------------------------------------

MAIL = MailObject(
    message_id="<offer@x.test>",
    mime=mime("offer", message_id="<offer@x.test>"),
    forward_paths=("ann@customer.test",),
)
#: One that nobody connects to, and the address that it would send from.
SMTP_SERVER = MailServer("127.0.0.1", 9, Security.NONE, "", ""), "user@x.test"


@needs_dovecot
def test_what_the_server_has_kept_by_itself_is_found_and_not_kept_again(post):
    make(post, "by-itself", "Uit")
    with post.imap("by-itself") as client:
        client.append("Uit", "", "", MAIL.mime)
    with SmtpOutgoing(*SMTP_SERVER, sent_items=ImapSentItems(post.imap_server("by-itself"))) as out:
        assert out.look_up(MAIL) is Whereabouts.SENT
        out.keep_copy(MAIL)
    assert len(kept(post, "by-itself", "Uit")) == 1


def test_when_a_conversation_ends_neither_server_counts_a_connection_of_it():
    with scripted(SMTP) as sending, listing(SENT) as keeping:
        items = ImapSentItems(keeping.server())
        with SmtpOutgoing(sending.server(), "user@x.test", sent_items=items) as out:
            out.send(MAIL, lambda: None)
            before = out.requests
            out.keep_copy(MAIL)
            assert out.requests > before
        sending.wait_until_left()
        keeping.wait_until_left()
    assert (sending.commands[-1], keeping.commands[-1]) == ("QUIT", "LOGOUT")


def test_a_copy_that_is_not_wanted_asks_nothing():
    with listing(SENT) as running:
        items = ImapSentItems(running.server())
        with SmtpOutgoing(*SMTP_SERVER, sent_items=items) as out:
            out.keep_copy(replace(MAIL, keeps_copy=False))
            assert (out.requests, running.connections) == (0, 0)


def test_what_cannot_be_looked_up_is_a_fault_and_not_unknown():
    with listing(SENT, LIST=CLOSE) as running:
        items = ImapSentItems(running.server())
        with SmtpOutgoing(*SMTP_SERVER, sent_items=items) as out, pytest.raises(FaultError):
            out.look_up(MAIL)


def outgoing(imap_port: int, **fields):
    """The way out of a mailbox whose profile has IMAP at this port, and no SMTP server."""
    profile = factories.profile(
        server_type=EmailServerProfile.ServerType.IMAP_SMTP,
        use_impersonation=False,
        security=EmailServerProfile.Security.NONE,
        location="127.0.0.1",
        port=imap_port,
        outgoing_location="127.0.0.1",
        **{"username": "by-profile", "password": "pw", **fields},
    )
    return registry.outgoing(factories.mailbox(profile=profile), lambda: None)


@needs_dovecot
@pytest.mark.django_db
def test_a_profile_of_imap_and_smtp_keeps_copies_by_its_login_for_incoming_email(post):
    make(post, "by-profile", "Uit")
    account = {"outgoing_username": "other", "outgoing_password": "other"}
    with outgoing(post.imap_port, same_settings_for_outgoing=False, **account) as out:
        out.keep_copy(MAIL)
        assert out.look_up(MAIL) is Whereabouts.SENT
    assert len(kept(post, "by-profile", "Uit")) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("credentials", ["NONE", "MAILBOX"])
def test_a_mailbox_without_a_login_for_incoming_email_sends_without_copies(credentials):
    with scripted(IMAP) as running:
        credentials = EmailServerProfile.Credentials[credentials]
        own = {"same_settings_for_outgoing": False, "outgoing_credentials": 1}
        with outgoing(running.port, credentials=credentials, **own) as out:
            out.keep_copy(MAIL)
            assert out.look_up(MAIL) is Whereabouts.UNKNOWN
        assert running.connections == 0
