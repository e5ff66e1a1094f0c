"""What people do with mail, calendar and contacts, through DavMail: see davmail.py."""

import email
import imaplib
import itertools
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from syncservice.simulator.exchange import ExchangeSimulator

from . import davmail
from .answers import checked_simulator
from .conftest import mail
from .davmail import Dav, DavMail

pytestmark = [
    pytest.mark.skipif(not davmail.PROGRAM, reason="davmail is not installed (apt: davmail)"),
    pytest.mark.skipif(not davmail.JAVA, reason="java, which davmail needs, is not installed"),
    pytest.mark.xdist_group("davmail"),
]

PASSWORD = "a password"
NUMBERS = itertools.count(1)
ATTACHMENT = bytes(range(256)) * 20


@dataclass(frozen=True)
class Owner:
    """Somebody with a mailbox, and the ways to it."""

    address: str
    simulator: ExchangeSimulator
    gateway: DavMail

    def imap(self, folder: str = "INBOX") -> AbstractContextManager[imaplib.IMAP4]:
        return self.gateway.imap(self.address, PASSWORD, folder)

    @property
    def dav(self) -> Dav:
        return self.gateway.dav(self.address, PASSWORD)

    def deliver(self, *subjects: str) -> None:
        for subject in subjects:
            self.simulator.control.deliver(self.address, mail(subject, to=self.address))

    def subjects(self, folder: str) -> list[str]:
        return [one.subject for one in self.simulator.control.items(self.address, folder)]


@pytest.fixture(scope="module")
def simulator() -> Iterator[ExchangeSimulator]:
    with checked_simulator() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    simulator: ExchangeSimulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DavMail]:
    with davmail.running(simulator.ews_url, tmp_path_factory.mktemp("davmail")) as gateway:
        yield gateway


@pytest.fixture
def owner(simulator: ExchangeSimulator, gateway: DavMail) -> Owner:
    return new_owner(simulator, gateway)


@pytest.fixture
def other(simulator: ExchangeSimulator, gateway: DavMail) -> Owner:
    return new_owner(simulator, gateway)


def new_owner(simulator: ExchangeSimulator, gateway: DavMail) -> Owner:
    address = f"owner{next(NUMBERS)}@example.test"
    simulator.service.store.add_mailbox(address, PASSWORD)
    return Owner(address, simulator, gateway)


def uids(session: imaplib.IMAP4, *criteria: str) -> list[str]:
    _, [found] = session.uid("SEARCH", *criteria)
    return found.decode().split()


def fetched(session: imaplib.IMAP4, uid: str, what: str) -> str:
    """The answer to a fetch that has no literal."""
    _, [answer] = session.uid("FETCH", uid, what)
    return answer.decode()


def flags(session: imaplib.IMAP4, uid: str) -> set[str]:
    [listed] = re.findall(r"FLAGS \((.*?)\)", fetched(session, uid, "(FLAGS)"))
    return set(listed.split()) - {"\\Recent"}


def message(session: imaplib.IMAP4, uid: str) -> EmailMessage:
    _, parts = session.uid("FETCH", uid, "(BODY.PEEK[])")
    return email.message_from_bytes(parts[0][1], policy=SMTP)


def with_attachment(sender: str, to: str) -> EmailMessage:
    new = EmailMessage()
    new["From"], new["To"], new["Subject"] = sender, to, "Über alles"
    new.set_content("Grüße\n.\nEnde\n")
    new.add_attachment(ATTACHMENT, maintype="application", subtype="pdf", filename="ä.pdf")
    return new


# Mail


def test_mail_is_listed_read_and_found(owner: Owner) -> None:
    owner.deliver("first", "second", "third")
    with owner.imap() as session:
        first, second, third = uids(session, "ALL")
        assert int(first) < int(second) < int(third)
        assert message(session, second)["Subject"] == "second"
        assert message(session, second).get_content().strip() == "Good morning."
        assert "second" in fetched(session, second, "(ENVELOPE)")
        size = len(mail("second", to=owner.address))
        assert f"RFC822.SIZE {size}" in fetched(session, second, "(RFC822.SIZE)")
        assert uids(session, "SUBJECT", "second") == [second]
        assert uids(session, "FROM", "carol") == [first, second, third]
        assert uids(session, "FROM", "nobody") == []
        assert uids(session, "TEXT", "morning") == [first, second, third]
        assert uids(session, "HEADER", "Message-ID", "<third@elsewhere.test>") == [third]
        assert uids(session, "SINCE", "1-Jan-2020") == [first, second, third]
        assert uids(session, "BEFORE", "1-Jan-2020") == []


def test_an_open_folder_tells_of_new_mail(owner: Owner) -> None:
    owner.deliver("first")
    with owner.imap() as session:
        assert len(uids(session, "ALL")) == 1
        owner.deliver("second")
        session.noop()
        assert len(uids(session, "ALL")) == 2


def test_a_folder_of_more_than_a_page_is_listed_whole(owner: Owner) -> None:
    count = 501  # DavMail asks for 500 at a time
    owner.deliver(*(f"mail {number}" for number in range(count)))
    with owner.imap() as session:
        found = uids(session, "ALL")
        assert len(set(found)) == count
        assert message(session, found[-1])["Subject"] == f"mail {count - 1}"


def test_flags_are_kept(owner: Owner) -> None:
    owner.deliver("first", "second")
    wanted = {"\\Seen", "\\Flagged", "\\Answered", "Red"}
    with owner.imap() as session:
        first, second = uids(session, "ALL")
        for flag in wanted:
            session.uid("STORE", first, "+FLAGS", f"({flag})")
    with owner.imap() as session:
        assert flags(session, first) == wanted
        assert flags(session, second) == set()
        assert uids(session, "UNSEEN") == [second]
        assert uids(session, "FLAGGED") == [first]
        assert uids(session, "KEYWORD", "Red") == [first]
        session.uid("STORE", first, "-FLAGS", "(\\Seen \\Flagged)")
        assert flags(session, first) == {"\\Answered", "Red"}
    assert [one.is_read for one in owner.simulator.control.items(owner.address, "inbox")] == [
        False,
        False,
    ]


def test_folders_are_made_renamed_and_deleted(owner: Owner) -> None:
    with owner.imap() as session:
        session.create("Projects")
        session.create("Projects/Spring")
        session.rename("Projects/Spring", "Projects/Summer")
        listed = [line.decode().rpartition('"/" ')[2].strip('"') for line in session.list()[1]]
        assert {"INBOX", "Sent", "Drafts", "Trash", "Projects", "Projects/Summer"} <= set(listed)
        assert "Projects/Spring" not in listed
        session.delete("Projects/Summer")
        listed = [line.decode().rpartition('"/" ')[2].strip('"') for line in session.list()[1]]
        assert "Projects/Summer" not in listed


def test_mail_is_moved_copied_and_deleted(owner: Owner) -> None:
    owner.deliver("first", "second", "third")
    with owner.imap() as session:
        session.create("Projects")
        first, second, third = uids(session, "ALL")
        session.uid("COPY", first, "Projects")
        session.uid("MOVE", second, "Projects")
        session.uid("STORE", third, "+FLAGS", "(\\Deleted)")
        session.expunge()
        assert uids(session, "ALL") == [first]
        session.select("Projects")
        assert [message(session, uid)["Subject"] for uid in uids(session, "ALL")] == [
            "first",
            "second",
        ]
    assert owner.subjects("inbox") == ["first"]


def test_mail_is_put_into_a_folder(owner: Owner) -> None:
    new = with_attachment(owner.address, "x@elsewhere.test")
    with owner.imap() as session:
        session.append("Drafts", "(\\Draft)", None, new.as_bytes(policy=SMTP))
        session.append("INBOX", "(\\Seen)", None, mail("kept"))
        session.select("Drafts")
        [draft] = uids(session, "ALL")
        assert "\\Draft" in flags(session, draft)
        assert attached(message(session, draft)) == [("ä.pdf", ATTACHMENT)]
        session.select("INBOX")
        [kept] = uids(session, "ALL")
        assert flags(session, kept) == {"\\Seen"}


def attached(message: EmailMessage) -> list[tuple[str | None, bytes]]:
    return [(one.get_filename(), one.get_content()) for one in message.iter_attachments()]


def test_mail_is_sent_with_its_attachment(owner: Owner, other: Owner) -> None:
    new = with_attachment(owner.address, other.address)
    with owner.gateway.smtp(owner.address, PASSWORD) as session:
        assert session.send_message(new) == {}
    assert owner.subjects("sentitems") == ["Über alles"]
    with other.imap() as session:
        [uid] = uids(session, "UNSEEN")
        received = message(session, uid)
    assert received["Subject"] == "Über alles"
    assert received["From"] == owner.address
    body = received.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == "Grüße\n.\nEnde\n"
    assert attached(received) == [("ä.pdf", ATTACHMENT)]


def test_a_hidden_recipient_gets_it_and_stays_hidden(owner: Owner, other: Owner) -> None:
    new = with_attachment(owner.address, "x@elsewhere.test")
    with owner.gateway.smtp(owner.address, PASSWORD) as session:
        session.send_message(new, to_addrs=["x@elsewhere.test", other.address])
    with other.imap() as session:
        [uid] = uids(session, "ALL")
        assert other.address not in message(session, uid).as_string()


# Calendar and contacts

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//test//EN
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:DAYLIGHT
DTSTART:19700329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
UID:event-1@example.test
DTSTAMP:20260501T000000Z
DTSTART;TZID=Europe/Berlin:20260504T090000
DTEND;TZID=Europe/Berlin:20260504T103000
SUMMARY:Planning\\, spring
LOCATION:Room 1
DESCRIPTION:Line one\\nLine two
CATEGORIES:Red
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")

TASK = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//test//EN
BEGIN:VTODO
UID:task-1@example.test
DTSTAMP:20260501T000000Z
DUE;VALUE=DATE:20260504
SUMMARY:Call Bob
DESCRIPTION:about the roof
PRIORITY:1
STATUS:IN-PROCESS
PERCENT-COMPLETE:30
END:VTODO
END:VCALENDAR
""".replace("\n", "\r\n")

CARD = """BEGIN:VCARD
VERSION:3.0
UID:card-1
FN:Nora Node
N:Node;Nora;;;
EMAIL;TYPE=work:nora@elsewhere.test
TEL;TYPE=cell:+1 555
TEL;TYPE=work:+1 556
ADR;TYPE=work:;;Street 1;Town;ST;123;Land
ORG:Node Ltd
TITLE:Boss
NOTE:met in spring
BDAY:1980-02-03
END:VCARD
""".replace("\n", "\r\n")
CALENDAR_NAMESPACES = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'


def lines(text: str) -> set[str]:
    return set(text.replace("\r\n ", "").splitlines())


def reported(dav: Dav, start: str, end: str) -> list[str]:
    """The hrefs of the events between two moments."""
    asked = (
        f"<C:calendar-query {CALENDAR_NAMESPACES}><D:prop><D:getetag/></D:prop><C:filter>"
        '<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
        f'<C:time-range start="{start}" end="{end}"/>'
        "</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
    )
    status, answer = dav.ask("REPORT", "calendar/", asked)
    assert status == 207, answer
    return re.findall("<D:href>(.*?)</D:href>", answer)


def test_an_event_lives_in_the_calendar(owner: Owner) -> None:
    dav = owner.dav
    assert dav.listed("calendar") == []
    assert dav.ask("PUT", "calendar/one.ics", EVENT, "text/calendar") == (201, "")
    [href] = dav.listed("calendar")
    status, text = dav.ask("GET", href)
    assert status == 200
    wanted = {
        "UID:event-1@example.test",
        "SUMMARY:Planning, spring",
        "LOCATION:Room 1",
        "DESCRIPTION:Line one\\nLine two",
        'DTSTART;TZID="Europe/Berlin":20260504T090000',
        'DTEND;TZID="Europe/Berlin":20260504T103000',
        "CATEGORIES:Red",
    }
    assert wanted <= lines(text)
    assert reported(dav, "20260504T000000Z", "20260505T000000Z") == [href]
    assert reported(dav, "20260604T000000Z", "20260605T000000Z") == []
    moved = EVENT.replace("T090000", "T093000").replace("Planning\\, spring", "Moved")
    assert dav.ask("PUT", href, moved, "text/calendar")[0] in (200, 201, 204)
    asked = (
        f"<C:calendar-multiget {CALENDAR_NAMESPACES}><D:prop><C:calendar-data/></D:prop>"
        f"<D:href>{href}</D:href></C:calendar-multiget>"
    )
    status, text = dav.ask("REPORT", "calendar/", asked)
    assert {"SUMMARY:Moved", 'DTSTART;TZID="Europe/Berlin":20260504T093000'} <= lines(text)
    assert dav.ask("DELETE", href)[0] == 200
    assert dav.ask("GET", href)[0] == 404
    assert dav.listed("calendar") == []


def test_a_whole_day_stays_one(owner: Owner) -> None:
    day = re.sub(r"DT(START|END);TZID=Europe/Berlin:\w+", r"DT\1;VALUE=DATE:20260504", EVENT)
    day = day.replace("DTEND;VALUE=DATE:20260504", "DTEND;VALUE=DATE:20260505")
    assert owner.dav.ask("PUT", "calendar/day.ics", day, "text/calendar")[0] == 201
    [href] = owner.dav.listed("calendar")
    _, text = owner.dav.ask("GET", href)
    assert {"DTSTART;VALUE=DATE:20260504", "DTEND;VALUE=DATE:20260505"} <= lines(text)


def test_a_task_is_kept(owner: Owner) -> None:
    dav = owner.dav
    assert dav.ask("PUT", "tasks/task-1.ics", TASK, "text/calendar")[0] == 201
    [href] = dav.listed("tasks")
    _, text = dav.ask("GET", href)
    wanted = {"SUMMARY:Call Bob", "DESCRIPTION:about the roof", "PRIORITY:1"}
    wanted |= {"STATUS:IN-PROCESS", "PERCENT-COMPLETE:30", "DUE;VALUE=DATE:20260504"}
    assert wanted <= lines(text)
    done = TASK.replace("IN-PROCESS", "COMPLETED").replace("COMPLETE:30", "COMPLETE:100")
    assert dav.ask("PUT", href, done, "text/calendar")[0] in (200, 201, 204)
    _, text = dav.ask("GET", href)
    assert {"STATUS:COMPLETED", "PERCENT-COMPLETE:100"} <= lines(text)


def test_a_contact_lives_among_the_contacts(owner: Owner) -> None:
    dav = owner.dav
    assert dav.ask("PUT", "contacts/card-1.vcf", CARD, "text/vcard")[0] == 201
    [href] = dav.listed("contacts")
    _, text = dav.ask("GET", href)
    wanted = lines(CARD) - {"VERSION:3.0", "ORG:Node Ltd"} | {"ORG:Node Ltd;"}
    assert wanted <= lines(text)
    changed = CARD.replace("Boss", "Chief").replace("+1 555", "+1 557")
    assert dav.ask("PUT", href, changed, "text/vcard")[0] in (200, 201, 204)
    _, text = dav.ask("GET", href)
    assert {"TITLE:Chief", "TEL;TYPE=cell:+1 557"} <= lines(text)
    assert dav.ask("DELETE", href)[0] == 200
    assert dav.listed("contacts") == []


def test_the_gateway_learns_whose_mailbox_it_serves(owner: Owner) -> None:
    asked = '<D:propfind xmlns:D="DAV:"><D:prop><D:current-user-principal/></D:prop></D:propfind>'
    status, answer = owner.dav.ask("PROPFIND", "/", asked)
    assert (status, f"/principals/users/{owner.address}<" in answer) == (207, True)
