"""The field map as the reference has it (3F): every mapping, every direction."""

import pytest

from syncservice.domain.field_map import (
    BY_NAME,
    MAPPINGS,
    Direction,
    FieldSettings,
    RecordType,
    by_value,
    directions,
    problems,
)
from syncservice.domain.item_values import VALUES, ItemKind

#: B both ways, X to Exchange only, N none; then what may be chosen: any, or fixed.
APPOINTMENT = """
time          Appointment time      Appointment time      B fixed
attachments   Attachments           Attachments           N fixed
body          Body                  Description           B any
importance    Importance            Priority              B fixed
location      Location              Location              B any
optional      Optional attendees    Optional attendees    B fixed
organizer     Organizer             Organizer             B fixed
regarding     Regarding             Regarding             B fixed
required      Required attendees    Required attendees    B fixed
show_as       Show time as          Appointment status    B fixed
subject       Subject               Subject               B any
"""
RECURRING_APPOINTMENT = """
recurrence    Recurrence pattern    Recurrence pattern    B fixed
body          Body                  Description           B any
importance    Importance            Priority              B fixed
location      Location              Location              B any
optional      Optional attendees    Optional attendees    B fixed
organizer     Organizer             Organizer             B fixed
regarding     Regarding             Regarding             B fixed
required      Required attendees    Required attendees    B fixed
show_as       Show time as          Appointment status    B fixed
subject       Subject               Subject               B any
"""
SERVICE_ACTIVITY = """
time          Appointment time      Appointment time      X fixed
body          Body                  Description           X fixed
importance    Importance            Priority              X fixed
location      Location              Location              X fixed
optional      Optional attendees    Optional attendees    X fixed
organizer     Organizer             Organizer             X fixed
regarding     Regarding             Regarding             X fixed
required      Required attendees    Required attendees    X fixed
show_as       Show time as          Appointment status    X fixed
subject       Subject               Subject               X fixed
"""
CONTACT = """
anniversary       Anniversary                  Anniversary           B any
assistant         Assistant's name             Assistant             B any
assistant_phone   Assistant's phone            Assistant phone       B any
birthday          Birthday                     Birthday              B any
business_fax      Business fax                 Fax                   B any
business_phone    Business phone               Business phone        B any
business_phone2   Business phone 2             Business phone 2      B any
callback          Callback                     Callback number       B any
children          Children                     Children's names      B any
company_phone     Company main phone           Company phone         B any
department        Department                   Department            B any
email1            E-mail                       Email                 B any
email2            E-mail 2                     Email address 2       B any
email3            E-mail 3                     Email address 3       B any
ftp_site          FTP site                     FTP site              B any
full_name         Full name                    Full name             B fixed
government_id     Government ID number         Government            B any
home_address      Home address                 Address 2             N any
home_phone        Home phone                   Home phone            B any
home_phone2       Home phone 2                 Home phone 2          B any
job_title         Job title                    Job title             B any
business_address  Mailing or business address  Address 1             B any
manager           Manager's name               Manager               B any
mobile            Mobile phone                 Mobile phone          B any
nickname          Nickname                     Nickname              B any
notes             Notes                        Description           B any
other_address     Other address                Address 3             N any
other_phone       Other phone                  Telephone 3           B any
pager             Pager                        Pager                 B any
company           Company                      Company name          B fixed
spouse            Spouse/partner               Spouse/partner name   B any
web_page          Web page                     Website               B any
yomi_first        Yomi first name              Yomi first name       B any
yomi_last         Yomi last name               Yomi last name        B any
"""
WITHOUT_PERCENT = """
completed         Date completed               Actual end            B any
due               Due date                     Due date              B any
importance        Importance                   Priority              B fixed
notes             Notes                        Description           B any
regarding         Regarding                    Regarding             B fixed
start             Start date                   Start date            B any
status            Status                       Status                B fixed
subject           Subject                      Subject               B any
"""
TASK = f"""
percent_complete  % complete                   Percent complete      B any
{WITHOUT_PERCENT}
"""
TABLES = {
    RecordType.APPOINTMENT: APPOINTMENT,
    RecordType.RECURRING_APPOINTMENT: RECURRING_APPOINTMENT,
    RecordType.SERVICE_ACTIVITY: SERVICE_ACTIVITY,
    RecordType.CONTACT: CONTACT,
    RecordType.TASK: TASK,
    RecordType.PHONE_CALL: WITHOUT_PERCENT,
    RecordType.LETTER: WITHOUT_PERCENT,
    RecordType.FAX: WITHOUT_PERCENT,
}
LETTERS = {Direction.BOTH: "B", Direction.TO_EXCHANGE: "X", Direction.NONE: "N"}
EVERY = {Direction(number) for number in range(4)}
BOTH, NONE = Direction.BOTH, Direction.NONE
TO_CRM, TO_EXCHANGE = Direction.TO_CRM, Direction.TO_EXCHANGE


@pytest.mark.parametrize("record_type", RecordType)
def test_every_mapping_and_every_direction(record_type: RecordType) -> None:
    found = {
        " ".join([
            mapping.name.removeprefix(f"{record_type}."),
            mapping.exchange_name,
            mapping.crm_name,
            LETTERS[mapping.default],
            "any" if mapping.allowed == EVERY else "fixed",
        ])
        for mapping in MAPPINGS[record_type]
    }  # fmt: skip
    rows = [" ".join(row.split()) for row in TABLES[record_type].splitlines() if row]
    assert found == set(rows)
    assert len(MAPPINGS[record_type]) == len(rows)


def test_a_contact_has_34_mappings() -> None:
    assert len(MAPPINGS[RecordType.CONTACT]) == 34


@pytest.mark.parametrize("record_type", RecordType)
def test_what_is_fixed_allows_its_default_only(record_type: RecordType) -> None:
    for mapping in MAPPINGS[record_type]:
        assert mapping.default in mapping.allowed
        assert mapping.is_fixed == (mapping.allowed == {mapping.default})
        assert set(mapping.values) <= set(VALUES[mapping.kind])


def test_mappings_of_several_fields_are_computed() -> None:
    assert {name for name, mapping in BY_NAME.items() if mapping.is_computed} == {
        *("appointment.time", "appointment.attachments", "appointment.show_as"),
        *("recurring_appointment.recurrence", "recurring_appointment.show_as"),
        *("service_activity.time", "service_activity.show_as"),
        *("contact.full_name", "contact.business_address"),
        *("contact.home_address", "contact.other_address"),
        *("task.status", "phone_call.status", "letter.status", "fax.status"),
    }


@pytest.mark.parametrize("record_type", RecordType)
def test_every_value_of_the_kind_has_a_direction(record_type: RecordType) -> None:
    assert set(directions(record_type, FieldSettings())) == set(VALUES[record_type.kind])


@pytest.mark.parametrize(
    ("record_type", "others"),
    [
        (
            RecordType.APPOINTMENT,
            {"responses": TO_CRM, "reminder": TO_EXCHANGE, "recurrence": NONE},
        ),
        (
            RecordType.RECURRING_APPOINTMENT,
            {"responses": TO_CRM, "reminder": TO_EXCHANGE, "time": BOTH, "attachments": NONE},
        ),
        (
            RecordType.SERVICE_ACTIVITY,
            {"responses": NONE, "reminder": TO_EXCHANGE, "recurrence": NONE, "attachments": NONE},
        ),
        (RecordType.CONTACT, {}),
        (RecordType.TASK, {"reminder": TO_EXCHANGE}),
        (RecordType.PHONE_CALL, {"reminder": TO_EXCHANGE, "percent_complete": NONE}),
        (RecordType.LETTER, {"reminder": TO_EXCHANGE, "percent_complete": NONE}),
        (RecordType.FAX, {"reminder": TO_EXCHANGE, "percent_complete": NONE}),
    ],
)
def test_directions_of_what_the_map_has_no_row_for(
    record_type: RecordType, others: dict[str, Direction]
) -> None:
    found = directions(record_type, FieldSettings())
    defaults = {v: m.default for m in MAPPINGS[record_type] for v in m.values}
    assert found == defaults | others


@pytest.mark.parametrize(
    ("record_type", "is_on", "expected"),
    [
        (RecordType.APPOINTMENT, False, NONE),
        (RecordType.APPOINTMENT, True, BOTH),
        (RecordType.RECURRING_APPOINTMENT, True, NONE),
        (RecordType.SERVICE_ACTIVITY, True, NONE),
    ],
)
def test_attachments_are_a_setting(
    record_type: RecordType, is_on: bool, expected: Direction
) -> None:
    assert directions(record_type, FieldSettings(attachments=is_on))["attachments"] is expected


@pytest.mark.parametrize(
    ("three", "expected"), [(False, (BOTH, NONE, NONE)), (True, (BOTH, BOTH, BOTH))]
)
def test_addresses_are_one_or_three(three: bool, expected: tuple[Direction, ...]) -> None:
    found = directions(RecordType.CONTACT, FieldSettings(three_addresses=three))
    names = ("business_address", "home_address", "other_address")
    assert tuple(found[name] for name in names) == expected


@pytest.mark.parametrize(("three", "expected"), [(False, NONE), (True, TO_CRM)])
def test_a_direction_of_an_address_counts_while_there_are_three(
    three: bool, expected: Direction
) -> None:
    settings = FieldSettings(directions={"contact.home_address": TO_CRM}, three_addresses=three)
    assert directions(RecordType.CONTACT, settings)["home_address"] is expected


@pytest.mark.parametrize("way", [BOTH, TO_CRM, TO_EXCHANGE, NONE])
def test_an_organisation_chooses_of_one_record_type(way: Direction) -> None:
    settings = FieldSettings(directions={"task.due": way})
    assert problems(settings.directions) == []
    assert directions(RecordType.TASK, settings)["due"] is way
    assert directions(RecordType.LETTER, settings)["due"] is BOTH


@pytest.mark.parametrize(
    ("name", "way", "sentence"),
    [
        ("task.due", TO_CRM, None),
        ("task.status", BOTH, None),
        ("task.status", NONE, "Status (task.status): its direction can't be changed."),
        (
            "service_activity.subject",
            BOTH,
            "Subject (service_activity.subject): its direction can't be changed.",
        ),
        (
            "contact.full_name",
            TO_CRM,
            "Full name (contact.full_name): its direction can't be changed.",
        ),
        (
            "appointment.attachments",
            BOTH,
            "Attachments: the setting for attachments decides.",
        ),
        ("task.colour", BOTH, "There is no mapping task.colour."),
    ],
)
def test_what_can_not_be_chosen_is_refused_and_has_no_effect(
    name: str, way: Direction, sentence: str | None
) -> None:
    assert problems({name: way}) == ([sentence] if sentence else [])
    if sentence:
        settings = FieldSettings(directions={name: way})
        for record_type in RecordType:
            assert directions(record_type, settings) == directions(record_type, FieldSettings())


def test_what_is_said_of_mappings_is_said_of_their_values() -> None:
    said = {"recurring_appointment.recurrence": "crm", "task.due": "later"}
    assert by_value(RecordType.RECURRING_APPOINTMENT, said) == {"time": "crm", "recurrence": "crm"}
    assert by_value(RecordType.TASK, said) == {"due": "later"}


@pytest.mark.parametrize(
    ("record_type", "kind"),
    [
        (RecordType.APPOINTMENT, ItemKind.APPOINTMENT),
        (RecordType.RECURRING_APPOINTMENT, ItemKind.APPOINTMENT),
        (RecordType.SERVICE_ACTIVITY, ItemKind.APPOINTMENT),
        (RecordType.CONTACT, ItemKind.CONTACT),
        (RecordType.TASK, ItemKind.TASK),
        (RecordType.PHONE_CALL, ItemKind.TASK),
        (RecordType.LETTER, ItemKind.TASK),
        (RecordType.FAX, ItemKind.TASK),
    ],
)
def test_what_a_record_is_in_exchange(record_type: RecordType, kind: ItemKind) -> None:
    assert record_type.kind is kind


def test_the_numbers_are_those_of_the_metadata() -> None:
    assert [NONE.value, TO_EXCHANGE.value, TO_CRM.value, BOTH.value] == [0, 1, 2, 3]
