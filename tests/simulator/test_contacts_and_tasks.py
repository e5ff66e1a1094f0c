"""What a CRM keeps in contacts and tasks, beside the ordinary fields."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from exchangelib import Account, Contact, EWSDate, EWSDateTime, EWSTimeZone, ExtendedProperty, Task
from exchangelib.errors import ErrorInvalidPercentCompleteValue
from exchangelib.indexed_properties import ImAddress, PhoneNumber, PhysicalAddress
from exchangelib.recurrence import (
    DailyPattern,
    DailyRegeneration,
    TaskRecurrence,
    WeeklyPattern,
)

from .conftest import Ask, get_request

BERLIN = EWSTimeZone("Europe/Berlin")
PHONES = [
    *("AssistantPhone", "BusinessFax", "BusinessPhone", "BusinessPhone2", "Callback", "CarPhone"),
    *("CompanyMainPhone", "HomeFax", "HomePhone", "HomePhone2", "Isdn", "MobilePhone", "OtherFax"),
    *("OtherTelephone", "Pager", "PrimaryPhone", "RadioPhone", "Telex", "TtyTddPhone"),
]


def tagged(name: str, tag: int, kind: str = "String") -> type[ExtendedProperty]:
    return type(name, (ExtendedProperty,), {"property_tag": tag, "property_type": kind})


def numbered(name: str, number: int, kind: str = "String") -> type[ExtendedProperty]:
    facts = {"distinguished_property_set_id": "Address", "property_id": number}
    return type(name, (ExtendedProperty,), {**facts, "property_type": kind})


EXTENDED = {
    "government_id": tagged("GovernmentId", 0x3A07),
    "ftp_site": tagged("FtpSite", 0x3A4C),
    "hobbies": tagged("Hobbies", 0x3A43),
    "title": tagged("Title", 0x3A45),
    "yomi_first_name": numbered("YomiFirstName", 0x802C),
    "yomi_last_name": numbered("YomiLastName", 0x802D),
    "childrens_names": tagged("ChildrensNames", 0x3A58, "StringArray"),
    "mailing_address": numbered("MailingAddress", 0x8022, "Integer"),
}


@pytest.fixture
def registered() -> Iterator[None]:
    for name, kind in EXTENDED.items():
        Contact.register(name, kind)
    yield
    for name in EXTENDED:
        Contact.deregister(name)


def contact(alice: Account, **facts: object) -> Contact:
    item = Contact(account=alice, folder=alice.contacts, **facts)
    item.save()
    item.refresh()
    return item


def test_a_contact_keeps_all_its_numbers_and_addresses(alice: Account) -> None:
    parts = ("street", "city", "state", "country", "zipcode")
    addresses = [
        PhysicalAddress(label=label, **{part: f"{label} {part}" for part in parts})
        for label in ("Business", "Home", "Other")
    ]
    item = contact(
        alice,
        display_name="Zoë",
        phone_numbers=[PhoneNumber(label=one, phone_number=f"+{one}") for one in PHONES],
        im_addresses=[ImAddress(label=f"ImAddress{n}", im_address=f"im{n}") for n in (1, 2, 3)],
        physical_addresses=addresses,
        postal_address_index="Home",
        children=["Max", "Moritz"],
        birthday=EWSDate(1990, 1, 2),
        wedding_anniversary=EWSDate(2010, 5, 6),
        body="Met in Bonn",
    )
    assert {one.label: one.phone_number for one in item.phone_numbers} == {
        one: f"+{one}" for one in PHONES
    }
    assert len(item.im_addresses) == 3
    assert {one.label: one for one in item.physical_addresses} == {
        one.label: one for one in addresses
    }
    assert (item.postal_address_index, item.children) == ("Home", ["Max", "Moritz"])
    assert (item.birthday, item.wedding_anniversary) == (EWSDate(1990, 1, 2), EWSDate(2010, 5, 6))
    assert item.body == "Met in Bonn"
    item.postal_address_index, item.children = "None", None
    item.physical_addresses = [PhysicalAddress(label="Home", city="Köln")]
    item.save(update_fields=["postal_address_index", "children", "physical_addresses"])
    item.refresh()
    assert (item.postal_address_index, item.children) == ("None", None)
    assert [(one.label, one.city, one.street) for one in item.physical_addresses] == [
        ("Home", "Köln", None)
    ]


@pytest.mark.usefixtures("registered")
def test_what_no_field_holds_is_an_extended_property(alice: Account) -> None:
    facts = {
        "government_id": "L 12",
        "ftp_site": "ftp://x.test",
        "hobbies": "Chess",
        "title": "Dr.",
        "yomi_first_name": "ゾーイ",
        "yomi_last_name": "クイン",
        "childrens_names": ["Max"],
    }
    item = contact(alice, display_name="Zoë", **facts)
    assert {name: getattr(item, name) for name in facts} == facts
    assert (item.children, item.mailing_address) == (["Max"], 0)
    assert (item.complete_name.title, item.complete_name.yomi_first_name) == ("Dr.", "ゾーイ")
    item.hobbies, item.childrens_names, item.mailing_address = None, ["Moritz"], 2
    item.save(update_fields=["hobbies", "childrens_names", "mailing_address"])
    item.refresh()
    assert (item.hobbies, item.children) == (None, ["Moritz"])
    assert item.postal_address_index == "Business"


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("LastCommaFirst", "Quinn, Zoë"),
        ("FirstSpaceLast", "Zoë Quinn"),
        ("LastCommaFirstCompany", "Quinn, Zoë\r\nAcme"),
        ("CompanyLastCommaFirst", "Acme\r\nQuinn, Zoë"),
        ("Company", "Acme"),
        ("DisplayName", "Zoë Q."),
    ],
)
def test_a_contact_is_filed_under_what_its_mapping_makes_of_its_names(
    alice: Account, mapping: str, expected: str
) -> None:
    names = {"given_name": "Zoë", "surname": "Quinn", "company_name": "Acme"}
    item = contact(alice, display_name="Zoë Q.", file_as_mapping=mapping, **names)
    assert item.file_as == expected
    item.given_name, item.company_name, item.display_name = "Ada", "Other", "Ada Q."
    item.save(update_fields=["given_name", "company_name", "display_name"])
    item.refresh()
    renamed = expected.replace("Zoë", "Ada").replace("Acme", "Other")
    assert (item.file_as, item.subject) == (renamed, "Ada Q.")
    item.file_as = "Boss"
    item.save(update_fields=["file_as"])
    item.given_name = "Eve"
    item.save(update_fields=["given_name"])
    item.refresh()
    assert item.file_as == "Boss"


def task(alice: Account, **facts: object) -> Task:
    item = Task(account=alice, folder=alice.tasks, subject="Call", **facts)
    item.save()
    item.refresh()
    return item


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({"percent_complete": Decimal(50)}, ("InProgress", 50, False)),
        ({"percent_complete": Decimal(100)}, ("Completed", 100, True)),
        ({"status": "WaitingOnOthers"}, ("WaitingOnOthers", 0, False)),
        ({"status": "Deferred"}, ("Deferred", 0, False)),
        ({"status": "InProgress"}, ("InProgress", 0, False)),
        ({"status": "Completed"}, ("Completed", 100, True)),
    ],
)
def test_the_progress_of_a_task_agrees(
    alice: Account, set_to: dict[str, object], expected: tuple[str, int, bool]
) -> None:
    item = task(alice)
    for name, value in set_to.items():
        setattr(item, name, value)
    item.save(update_fields=list(set_to))
    item.refresh()
    assert (item.status, item.percent_complete, item.is_complete) == expected
    assert (item.complete_date is not None) == item.is_complete


def test_a_new_task_has_the_progress_it_is_given(alice: Account) -> None:
    item = task(alice, status="InProgress", percent_complete=Decimal(30))
    assert (item.status, item.percent_complete) == ("InProgress", 30)
    assert task(alice, status="Deferred").status == "Deferred"
    assert item.delegation_state == "NoMatch"


def test_more_than_all_of_a_task_is_refused(alice: Account, ask: Ask) -> None:
    item = task(alice)
    answer = ask(
        '<m:UpdateItem ConflictResolution="AlwaysOverwrite"><m:ItemChanges><t:ItemChange>'
        f'<t:ItemId Id="{item.id}" ChangeKey="{item.changekey}"/><t:Updates><t:SetItemField>'
        '<t:FieldURI FieldURI="task:PercentComplete"/><t:Task><t:PercentComplete>101'
        "</t:PercentComplete></t:Task></t:SetItemField></t:Updates></t:ItemChange>"
        "</m:ItemChanges></m:UpdateItem>"
    )
    assert answer.codes == [ErrorInvalidPercentCompleteValue.__name__]


def test_a_task_keeps_its_dates_and_reminder(alice: Account, ask: Ask) -> None:
    due = EWSDateTime(2026, 4, 1, 8, 30, tzinfo=BERLIN)
    item = task(alice, start_date=EWSDate(2026, 3, 30), reminder_is_set=True, reminder_due_by=due)
    assert (item.start_date, item.due_date) == (EWSDate(2026, 3, 30), EWSDate(2026, 3, 30))
    assert (item.reminder_is_set, item.reminder_due_by) == (True, due)
    item.due_date = EWSDate(2026, 4, 2)
    item.reminder_is_set = False
    item.save(update_fields=["due_date", "reminder_is_set"])
    item.refresh()
    assert (item.start_date, item.due_date) == (EWSDate(2026, 3, 30), EWSDate(2026, 4, 2))
    assert item.reminder_is_set is False
    path = '<t:FieldURI FieldURI="task:IsRecurring"/>'
    assert ask(get_request(item.id, paths=path)).texts(".//t:IsRecurring") == ["false"]


def test_a_recurring_task_that_is_done_goes_on_beside_a_copy(alice: Account) -> None:
    pattern = WeeklyPattern(interval=1, weekdays=[1])
    item = task(
        alice,
        start_date=EWSDate(2026, 3, 2),
        due_date=EWSDate(2026, 3, 2),
        recurrence=TaskRecurrence(pattern=pattern, start=EWSDate(2026, 3, 2), number=2),
    )
    identity, key = item.id, item.changekey
    item.status = "Completed"
    item.save(update_fields=["status"])
    assert item.id != identity
    item.refresh()
    assert (item.is_complete, item.is_recurring, item.due_date) == (
        True,
        False,
        EWSDate(2026, 3, 2),
    )
    [following] = alice.fetch([(identity, key)])
    assert (following.is_complete, following.is_recurring) == (False, True)
    assert (following.start_date, following.due_date) == (EWSDate(2026, 3, 9),) * 2
    assert following.changekey != key
    following.status = "Completed"
    following.save(update_fields=["status"])
    assert following.id == identity
    following.refresh()
    assert following.is_complete
    assert alice.tasks.all().count() == 2


@pytest.mark.parametrize("pattern", [DailyPattern(interval=3), DailyRegeneration(interval=3)])
def test_a_task_keeps_its_recurrence(
    alice: Account, pattern: DailyPattern | DailyRegeneration
) -> None:
    recurrence = TaskRecurrence(pattern=pattern, start=EWSDate(2026, 3, 2))
    item = task(alice, due_date=EWSDate(2026, 3, 2), recurrence=recurrence)
    assert (item.is_recurring, item.recurrence.pattern) == (True, pattern)
    identity = item.id
    item.status = "Completed"
    item.save(update_fields=["status"])
    [following] = alice.fetch([(identity, None)])
    item.refresh()
    if isinstance(pattern, DailyRegeneration):
        assert (following.due_date - item.complete_date.date()).days == 3
    else:
        assert following.due_date == EWSDate(2026, 3, 5)
