"""Who is told of what by mail, and what becomes of calendars and records: a table of 3G and 3H.

Org, Ann and Bob are users whose mailboxes are kept in step; Carl's is not; the boss is from
elsewhere, and so is the outsider, who has no mailbox that anybody here could see. Each row is
carried out against Exchange's simulator through the real gateway, in several ways: pushed, by
visits, by visits of the attendees first, and without anybody keeping Bob's mailbox in step. After
each, everybody is visited again and again: no more is sent, and nothing is there twice.

A cell says how an appointment is shown, and what its link to the record is; "-": it is not there.
Messages are those of the service: what people send in Outlook is Exchange's.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncservice.crm.models import Appointment, AppointmentParty, Contact, SyncFilter, User
from syncservice.domain.item_values import Values
from syncservice.mailboxes.models import Organisation
from syncservice.simulator.exchange import ExchangeSimulator
from tests.sync.exchange_people import Colleague, World, people_of, world_of
from tests.sync.synced_items import TRACKED

Party = AppointmentParty.Participation
Status = Appointment.Status
OUTSIDER = "outsider@elsewhere.test"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Scene:
    world: World
    org: Colleague
    ann: Colleague
    bob: Colleague
    carl: Colleague  # a user whose mailbox is not kept in step
    boss: Colleague  # somebody else's

    @property
    def record(self) -> Appointment:
        return Appointment.objects.get()

    def change(self, **columns: Any) -> None:
        """Change the record in the CRM."""
        record = self.record
        for name, value in columns.items():
            setattr(record, name, value)
        record.save(update_fields=list(columns))

    def add(self, role: Party, address: str) -> None:
        user = User.objects.filter(email=address).first()
        self.record.parties.create(participation=role, address=address, user=user)

    def drop(self, address: str) -> None:
        """Take an attendee off."""
        attending = self.record.parties.exclude(participation=Party.ORGANIZER)
        attending.get(address=address).delete()

    def addresses(self, names: str) -> list[str]:
        return [OUTSIDER if one == "out" else getattr(self, one).address for one in names.split()]

    def name_of(self, address: str) -> str:
        names = {getattr(self, one).address: one for one in ("org", "ann", "bob", "carl", "boss")}
        return names.get(address, "out")


def soon() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 3 * DAY


def time(starts_at: datetime) -> Values:
    start, end = (one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in (starts_at, starts_at + HOUR))
    return {"start": start, "end": end, "all_day": False, "zone": "Europe/Berlin"}


def enter(
    scene: Scene,
    required: str = "ann bob out",
    *,
    optional: str = "",
    organizer: str = "org",
    starts_in: timedelta = timedelta(0),
    **columns: Any,
) -> None:
    """Enter an appointment in the CRM."""
    starts_at = soon() + starts_in
    record = Appointment.objects.create(
        subject="Plan",
        owner=scene.org.user,
        starts_at=starts_at,
        ends_at=starts_at + HOUR,
        time_zone="Europe/Berlin",
        **columns,
    )
    assert record == scene.record
    for role, names in (
        (Party.ORGANIZER, organizer),
        (Party.REQUIRED, required),
        (Party.OPTIONAL, optional),
    ):
        for address in scene.addresses(names):
            scene.add(role, address)


def invite(scene: Scene, by: str = "org", required: str = "ann bob out", **said: Any) -> None:
    """Enter an appointment in Outlook, tracked if `categories` say so."""
    owner: Colleague = getattr(scene, by)
    people = people_of(*scene.addresses(required))
    owner.add(**{"subject": "Plan", "time": time(soon()), "required": people} | said)


# --- What there is before -------------------------------------------------------------------------

Given = Callable[[Scene], None]


def nothing(scene: Scene) -> None:
    """Nobody has an appointment."""


def in_step(*names: str, **said: Any) -> Given:
    """An appointment that was entered in the CRM, and is in step."""

    def given(scene: Scene) -> None:
        enter(scene, *names, **said)

    return given


def tracked_of_boss(scene: Scene) -> None:
    """Ann has tracked a meeting of somebody who is no user."""
    invite(scene, "boss", "ann out")
    scene.ann.track()


def propagating(given: Given) -> Given:
    def switched(scene: Scene) -> None:
        Organisation.current()
        Organisation.objects.update(propagates_cancellations=True)
        given(scene)

    return switched


meeting = in_step()
past = in_step(starts_in=-6 * DAY)
alone = in_step("")

# --- What is done ---------------------------------------------------------------------------------


def changed(**columns: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.change(**columns)


def moved(to: timedelta) -> Callable[[Scene], None]:
    return lambda scene: scene.change(starts_at=soon() + to, ends_at=soon() + to + HOUR)


def regarding(scene: Scene) -> None:
    scene.change(regarding_contact=Contact.objects.create(last_name="Karst"))


def another_organizer(scene: Scene) -> None:
    scene.record.parties.filter(participation=Party.ORGANIZER).update(
        address=scene.ann.address, user=scene.ann.user
    )


def filter_off(name: str) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        filters = SyncFilter.objects.filter(user=getattr(scene, name).user)
        filters.filter(entity="appointment").update(is_active=False)

    return act


def into_optional(scene: Scene) -> None:
    parties = scene.record.parties.filter(address=scene.bob.address)
    parties.update(participation=Party.OPTIONAL)


def subject_and_attendee(scene: Scene) -> None:
    scene.change(subject="Other")
    scene.add(Party.REQUIRED, scene.carl.address)


def both_sides(scene: Scene) -> None:
    scene.change(subject="CRM's")
    scene.org.edit(subject="Outlook's")


def without_people(scene: Scene) -> None:
    scene.record.parties.exclude(participation=Party.ORGANIZER).delete()


def deleted(scene: Scene) -> None:
    scene.record.delete()


def added_in_outlook(scene: Scene) -> None:
    people = scene.org.only_item().values["required"]
    scene.org.edit(required=[*people, *people_of(scene.carl.address)])


@dataclass(frozen=True)
class Row:
    id: str
    rule: str
    what: str
    given: Given
    act: Callable[[Scene], object]
    sent: str  # "request: ann bob; update: out"
    org: str
    ann: str
    bob: str
    crm: str
    #: It happens in the CRM: a push alone tells everybody who is to hear of it.
    is_pushed: bool = True
    #: Whoever is linked sees what the record says.
    agree: bool = True


ALL_ASKED = "request: ann bob out"
ALL_TOLD = "update: ann bob out"
ALL_OFF = "cancellation: ann bob out"
BUSY, ASKED = "busy linked", "tentative linked"
OFF = "canceled unlinked"

TABLE = [
    # Entered in the CRM
    Row("create", "3G", "in the future", nothing, enter, ALL_ASKED, BUSY, ASKED, ASKED, "busy"),
    Row(
        "create-optional", "3G", "optional attendees are asked, too",
        nothing, lambda s: enter(s, "ann", optional="bob out"),
        ALL_ASKED, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "create-self", "3G", "the organizer attends, and is not asked",
        nothing, lambda s: enter(s, "org ann bob out"), ALL_ASKED, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "create-past", "3G", "in the past",
        nothing, past, "", BUSY, "- waiting", "- waiting", "busy",
    ),
    Row("create-alone", "3G", "nobody attends", nothing, alone, "", BUSY, "-", "-", "busy"),
    Row(
        "create-draft", "F209", "a draft",
        nothing, lambda s: enter(s, is_draft=True),
        "", "- creating", "- creating", "- creating", "busy",
    ),
    Row(
        "send-draft", "F209", "a draft is sent",
        in_step(is_draft=True), changed(is_draft=False),
        ALL_ASKED, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "create-nobodys", "F208", "it has no organizer",
        nothing, lambda s: enter(s, organizer=""),
        "", "-", "- creating", "- creating", "busy",
    ),
    Row(
        "create-free", "3G", "it is free, and so it is shown",
        nothing, lambda s: enter(s, status=Status.FREE),
        ALL_ASKED, "free linked", "free linked", "free linked", "free",
    ),
    Row(
        "create-for-carl", "3G", "the organizer's mailbox is nobody's to keep: plain copies",
        nothing, lambda s: enter(s, "ann bob out", organizer="carl"),
        "", "-", BUSY, BUSY, "busy",
    ),
    Row(
        "create-for-outsider", "3G", "the organizer is from elsewhere: plain copies",
        nothing, lambda s: enter(s, "ann bob", organizer="out"), "", "-", BUSY, BUSY, "busy",
    ),
    # Entered in Outlook
    Row(
        "track", "F202", "the organizer tracks it",
        nothing, lambda s: invite(s, categories=(TRACKED,)),
        "", BUSY, ASKED, ASKED, "busy", is_pushed=False,
    ),
    Row(
        "track-alone", "F202", "an appointment without attendees is tracked",
        nothing, lambda s: invite(s, required="", categories=(TRACKED,)),
        "", BUSY, "-", "-", "busy", is_pushed=False,
    ),
    Row(
        "untracked", "F202", "nobody tracks it",
        nothing, invite, "", "busy", "tentative", "tentative", "-", is_pushed=False,
    ),
    Row(
        "track-by-attendee", "F207", "an attendee tracks the meeting of a user",
        nothing, lambda s: (invite(s), s.ann.track()),
        "", BUSY, ASKED, ASKED, "busy", is_pushed=False,
    ),
    Row(
        "track-boss", "F207", "an attendee tracks somebody else's meeting",
        nothing, tracked_of_boss, "", "-", ASKED, "-", "tentative", is_pushed=False,
    ),
    Row(
        "boss-changes", "F207", "who is from elsewhere moves it",
        tracked_of_boss, lambda s: s.boss.edit(subject="Other"),
        "", "-", ASKED, "-", "tentative", is_pushed=False,
    ),
    Row(
        "boss-cancels", "F207", "who is from elsewhere calls it off",
        tracked_of_boss, lambda s: s.boss.remove(),
        "", "-", OFF, "-", "canceled", is_pushed=False, agree=False,
    ),
    Row(
        "change-boss", "F207", "a meeting of somebody else's is changed in the CRM",
        tracked_of_boss, changed(subject="Other"),
        "", "-", ASKED, "-", "tentative", agree=False,
    ),
    Row(
        "delete-boss", "3G", "the record of somebody else's meeting is deleted",
        tracked_of_boss, deleted, "", "-", "tentative", "-", "-",
    ),
    # Changed in the CRM
    Row(
        "subject", "3G", "subject",
        meeting, changed(subject="Other"), ALL_TOLD, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "location", "3G", "location",
        meeting, changed(location="Bonn"), ALL_TOLD, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "body", "3G", "body",
        meeting, changed(description="More"), ALL_TOLD, BUSY, ASKED, ASKED, "busy",
    ),
    Row("time", "3G", "time", meeting, moved(DAY), ALL_TOLD, BUSY, ASKED, ASKED, "busy"),
    Row(
        "importance", "3G", "importance",
        meeting, changed(priority=2), ALL_TOLD, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "show-as", "3G", "status: out of office",
        meeting, changed(status=Status.OUT_OF_OFFICE),
        ALL_TOLD, "out_of_office linked", ASKED, ASKED, "out_of_office",
    ),
    Row(
        "reminder", "3G", "reminder",
        meeting, changed(reminder_minutes=60), "", BUSY, ASKED, ASKED, "busy",
    ),
    Row("regarding", "3G", "regarding", meeting, regarding, "", BUSY, ASKED, ASKED, "busy"),
    Row(
        "owner", "3G", "owner",
        meeting, lambda s: s.change(owner=s.ann.user), "", BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "organizer", "F186", "another organizer: it is the former one's no more",
        meeting, another_organizer, "", "busy unlinked", ASKED, ASKED, "busy",
    ),
    Row(
        "add", "3G", "an attendee comes",
        meeting, lambda s: s.add(Party.REQUIRED, s.carl.address),
        "request: carl", BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "add-optional", "3G", "an optional attendee comes",
        meeting, lambda s: s.add(Party.OPTIONAL, s.carl.address),
        "request: carl", BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "remove", "3G", "an attendee is taken off",
        meeting, lambda s: s.drop(s.bob.address),
        "cancellation: bob", BUSY, ASKED, OFF, "busy",
    ),
    Row(
        "remove-outsider", "3G", "an outsider is taken off",
        meeting, lambda s: s.drop(OUTSIDER), "cancellation: out", BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "remove-all", "3G", "everybody is taken off",
        meeting, without_people, ALL_OFF, BUSY, OFF, OFF, "busy",
    ),
    Row(
        "required-optional", "3G", "an attendee need not come: neither new nor gone",
        meeting, into_optional, "", BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "subject-and-add", "3G", "subject, and an attendee comes",
        meeting, subject_and_attendee,
        "request: carl; update: ann bob out", BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "first-attendees", "3G", "attendees come to an appointment that had none",
        alone, lambda s: [s.add(Party.REQUIRED, one) for one in s.addresses("ann bob out")],
        ALL_ASKED, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "change-alone", "3G", "subject, and nobody attends",
        alone, changed(subject="Other"), "", BUSY, "-", "-", "busy",
    ),
    Row(
        "change-past", "3G", "subject of what is past",
        past, changed(subject="Other"), "", BUSY, "- waiting", "- waiting", "busy",
    ),
    Row(
        "into-past", "3G", "moved into the past",
        meeting, moved(-6 * DAY), "", BUSY, ASKED, ASKED, "busy", agree=False,
    ),
    Row(
        "out-of-past", "3G", "moved out of the past: now they are asked",
        past, moved(DAY), ALL_ASKED, BUSY, ASKED, ASKED, "busy",
    ),
    Row(
        "change-carls", "3G", "subject; the organizer's mailbox is nobody's to keep",
        in_step("ann bob out", organizer="carl"), changed(subject="Other"),
        "", "-", BUSY, BUSY, "busy",
    ),
    # Changed in Outlook
    Row(
        "outlook-subject", "3H", "the organizer changes the subject: Exchange tells them",
        meeting, lambda s: s.org.edit(subject="Other"),
        "", BUSY, ASKED, ASKED, "busy", is_pushed=False,
    ),
    Row(
        "outlook-add", "3H", "the organizer asks another one: Exchange tells him",
        meeting, added_in_outlook, "", BUSY, ASKED, ASKED, "busy", is_pushed=False,
    ),
    Row(
        "outlook-own", "3K", "an attendee changes the own copy: the organizer's counts",
        meeting, lambda s: s.ann.edit(location="Bonn"),
        "", BUSY, ASKED, ASKED, "busy", is_pushed=False, agree=False,
    ),
    Row(
        "both", "3K", "both sides change the subject: the organizer's copy counts",
        meeting, both_sides, "", BUSY, ASKED, ASKED, "busy", is_pushed=False,
    ),
    Row(
        "accept", "3H", "an attendee accepts",
        meeting, lambda s: s.ann.answer("accepted"),
        "", BUSY, BUSY, ASKED, "busy; ann accepted", is_pushed=False,
    ),
    Row(
        "tentative", "3H", "an attendee accepts with a doubt",
        meeting, lambda s: s.ann.answer("tentative"),
        "", BUSY, ASKED, ASKED, "busy; ann tentative", is_pushed=False,
    ),
    Row(
        "decline", "3H", "an attendee declines: it does not come back",
        meeting, lambda s: s.ann.answer("declined"),
        "", BUSY, "- deleted", ASKED, "busy; ann declined", is_pushed=False,
    ),
    # Called off, completed
    Row(
        "cancel", "F255", "canceled in the CRM: it shows as free",
        meeting, changed(status=Status.CANCELED),
        "", "free linked", ASKED, ASKED, "canceled",
    ),
    Row(
        "cancel-on", "F255", "canceled, and cancellations are to travel",
        propagating(meeting), changed(status=Status.CANCELED),
        ALL_OFF, "- deleted", OFF, OFF, "canceled", agree=False,
    ),
    Row(
        "cancel-on-past", "F255", "canceled after it was, though cancellations are to travel",
        propagating(past), changed(status=Status.CANCELED),
        "", "free linked", "- waiting", "- waiting", "canceled",
    ),
    Row(
        "cancel-on-alone", "F255", "canceled, and nobody attends",
        propagating(alone), changed(status=Status.CANCELED),
        "", "- deleted", "-", "-", "canceled",
    ),
    Row(
        "complete", "3G", "completed in the CRM: it shows as free",
        meeting, changed(status=Status.COMPLETED),
        "", "free linked", ASKED, ASKED, "completed",
    ),
    Row(
        "complete-past", "3G", "completed after it was",
        past, changed(status=Status.COMPLETED),
        "", "free linked", "- waiting", "- waiting", "completed",
    ),
    # Deleted
    Row(
        "delete", "3G", "deleted in the CRM",
        meeting, deleted, ALL_OFF, "-", "canceled", "canceled", "-",
    ),
    Row(
        "delete-past", "3G", "deleted in the CRM after it was: it stays",
        past, deleted, "", "busy", "-", "-", "-",
    ),
    Row(
        "delete-alone", "3G", "deleted in the CRM, and nobody attends",
        alone, deleted, "", "-", "-", "-", "-",
    ),
    Row(
        "delete-carls", "3G", "deleted; the user is not the organizer: the copies stay",
        in_step("ann bob out", organizer="carl"), deleted,
        "", "-", "busy", "busy", "-",
    ),
    Row(
        "filter", "F206", "the organizer's filter lets it go",
        meeting, filter_off("org"), "", "busy unlinked", ASKED, ASKED, "busy",
    ),
    Row(
        "filter-attendee", "F206", "an attendee's filter lets it go",
        meeting, filter_off("ann"), "", BUSY, "tentative unlinked", ASKED, "busy",
    ),
    Row(
        "outlook-delete", "3H", "the organizer deletes it in Outlook: Exchange tells them",
        meeting, lambda s: s.org.remove(),
        "", "-", "canceled", "canceled", "-", is_pushed=False,
    ),
    Row(
        "outlook-delete-past", "3H", "the organizer deletes it after it was: the record stays",
        past, lambda s: s.org.remove(),
        "", "- deleted", "- waiting", "- waiting", "busy", is_pushed=False,
    ),
    Row(
        "outlook-delete-completed", "3H", "deleted in Outlook, but completed in the CRM",
        in_step(status=Status.COMPLETED), lambda s: s.org.remove(),
        "", "- deleted", OFF, OFF, "completed", is_pushed=False, agree=False,
    ),
    Row(
        "outlook-delete-attendee", "3H", "an attendee deletes the own copy",
        meeting, lambda s: s.ann.remove(),
        "", BUSY, "- deleted", ASKED, "busy", is_pushed=False,
    ),
]  # fmt: skip
WAYS = ("visit", "push", "attendees first", "without bob")


@pytest.fixture(scope="module")
def simulator() -> Iterator[ExchangeSimulator]:
    with ExchangeSimulator() as running:
        running.control.create_service_account("svc", "pw")
        yield running
        assert running.service.statistics.bugs == 0


@pytest.fixture(
    params=[WAYS[0], *(pytest.param(way, marks=pytest.mark.nightly) for way in WAYS[1:])]
)
def way(request) -> str:
    return request.param


@pytest.fixture
def scene(simulator, way, transactional_db) -> Scene:
    world = world_of(simulator)
    scene = Scene(
        world,
        world.colleague("org"),
        world.colleague("ann"),
        world.colleague("bob", is_synchronized=way != "without bob"),
        world.colleague("carl", is_synchronized=False),
        world.person("boss"),
    )
    if way == "attendees first":
        world.synchronized.reverse()
    world.visit_all()  # the first synchronization is behind them
    return scene


@pytest.fixture(scope="module")
def report() -> Iterator[list[tuple[str, ...]]]:
    """What happened, printed as a table."""
    lines: list[tuple[str, ...]] = [("row", "rule", "way", "sent", "org", "ann", "bob", "CRM")]
    yield lines
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    print()
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


@pytest.mark.parametrize("row", TABLE, ids=[row.id for row in TABLE])
def test_a_row_of_the_table(scene, way, row, report):
    prepare(scene, row.given)
    row.act(scene)
    if way == "push":
        scene.world.push()
        if row.is_pushed:
            assert told(scene) == row.sent
    scene.world.visit_all()
    scene.world.visit_all()  # what the first attendee waits for is brought by the last one's visit
    happened = (told(scene), *(cell(scene, one) for one in ("org", "ann", "bob")), said(scene))
    report.append((row.id, row.rule, way, *happened))
    before = everything(scene)
    for _ in range(2):
        outcomes = scene.world.visit_all()
        assert [(one.stored, one.written, one.failed) for one in outcomes] == [(0, 0, 0)] * len(
            outcomes
        )
    assert everything(scene) == before
    assert told(scene) == happened[0]
    bob = row.bob if way != "without bob" else row_without_bob(row)
    assert happened == (row.sent, row.org, row.ann, bob, row.crm), row.what
    if row.agree:
        check_agreement(scene)


def row_without_bob(row: Row) -> str:
    """What Bob's cell is when nobody keeps his mailbox in step: what Exchange did."""
    is_copy = "carl" in row.id or row.id == "create-for-outsider"
    return "-" if is_copy else row.bob.split()[0]


def prepare(scene: Scene, given: Given) -> None:
    """Let what is given be in step with everybody; nothing of that counts."""
    if given is nothing:
        return
    given(scene)
    for _ in range(2):
        scene.world.visit_all()
    scene.world.push()
    scene.world.service_sent.clear()


def told(scene: Scene) -> str:
    """Say what the service has sent, to whom."""
    found = defaultdict(list)
    for message in scene.world.service_sent:
        found[message.kind].append(scene.name_of(message.recipient))
    return "; ".join(
        f"{kind}: {' '.join(sorted(found[kind], key=_place))}" for kind in sorted(found)
    )


def _place(name: str) -> int:
    return ("org", "ann", "bob", "carl", "boss", "out").index(name)


def cell(scene: Scene, name: str) -> str:
    one: Colleague = getattr(scene, name)
    items = one.items()
    assert len(items) <= 1, f"{name} has it {len(items)} times"
    shown = "-"
    if items:
        shown = "canceled" if items[0].is_cancelled else str(items[0].values["show_as"])
    links = list(one.links) if one.mailbox else []
    assert len(links) <= 1, links
    # Whether a link is kept after its record tells of the order of visits only.
    there = Appointment.objects.filter(pk__in=[link.key for link in links]).exists()
    return " ".join([shown, *(link.state for link in links if there)])


def said(scene: Scene) -> str:
    records = list(Appointment.objects.all())
    assert len(records) <= 1, "it is several records"
    if not records:
        return "-"
    answers = records[0].parties.exclude(response="none").order_by("address")
    shown = Status(records[0].status).name.lower()
    return "; ".join([shown, *(f"{scene.name_of(one.address)} {one.response}" for one in answers)])


def everything(scene: Scene) -> list[Any]:
    calendars = [one.items() for one in (scene.org, scene.ann, scene.bob)]
    return [calendars, list(Appointment.objects.values())]


def check_agreement(scene: Scene) -> None:
    """Whoever has it linked sees what the record says."""
    record = Appointment.objects.first()
    for one in scene.world.synchronized:
        link = one.links.first()
        if record is None or link is None or link.state != "linked":
            continue
        values = one.only_item().values
        assert (values["subject"], values["location"]) == (record.subject, record.location)
        assert values["body"] == record.description
        assert datetime.fromisoformat(values["time"]["start"]) == record.starts_at
