"""The zones of appointments: kept by their ids, refused when nobody knows them."""

import pytest
from exchangelib import Account, CalendarItem, EWSDateTime, EWSTimeZone
from exchangelib.recurrence import Recurrence, WeeklyPattern

from syncservice.simulator.exchange import ExchangeSimulator

from .conftest import Ask, get_request

ZONES = (
    '<t:FieldURI FieldURI="calendar:StartTimeZone"/><t:FieldURI FieldURI="calendar:EndTimeZone"/>'
)
BERLIN = EWSTimeZone("Europe/Berlin")


def create(start_zone: str, end_zone: str, start: str = "2026-05-04T09:00:00") -> str:
    return (
        '<m:CreateItem SendMeetingInvitations="SendToNone"><m:Items><t:CalendarItem>'
        f"<t:Start>{start}</t:Start><t:End>2026-05-04T18:00:00Z</t:End>"
        f'<t:StartTimeZone Id="{start_zone}"/><t:EndTimeZone Id="{end_zone}"/>'
        "</t:CalendarItem></m:Items></m:CreateItem>"
    )


def test_both_zones_are_kept_by_id_and_name(ask: Ask) -> None:
    [item] = ask(create("Tokyo Standard Time", "W. Europe Standard Time")).ids(".//t:ItemId")
    start = '<t:FieldURI FieldURI="calendar:Start"/>'
    answer = ask(get_request(item, paths=ZONES + start))
    zones = [answer.all(f".//t:{name}TimeZone")[0] for name in ("Start", "End")]
    assert [(one.get("Id"), one.get("Name")) for one in zones] == [
        ("Tokyo Standard Time", "Tokyo Standard Time"),
        ("W. Europe Standard Time", "W. Europe Standard Time"),
    ]
    assert answer.texts(".//t:Start") == ["2026-05-04T00:00:00Z"]


def test_a_zone_nobody_knows_is_refused(ask: Ask) -> None:
    assert ask(create("Atlantis Standard Time", "UTC")).codes == ["ErrorTimeZone"]
    assert ask(create("UTC", "Atlantis Standard Time")).codes == ["ErrorTimeZone"]


@pytest.mark.filterwarnings("ignore:Cannot convert value")
def test_a_mailbox_may_hold_a_zone_nobody_knows(
    ask: Ask, simulator: ExchangeSimulator, alice: Account
) -> None:
    item = CalendarItem(
        account=alice,
        folder=alice.calendar,
        subject="Old",
        start=EWSDateTime(2026, 5, 4, 9, tzinfo=BERLIN),
        end=EWSDateTime(2026, 5, 4, 10, tzinfo=BERLIN),
        recurrence=Recurrence(
            pattern=WeeklyPattern(interval=1, weekdays=[1]),
            start=EWSDateTime(2026, 5, 4, tzinfo=BERLIN).date(),
            number=2,
        ),
    )
    item.save()
    simulator.control.set_time_zone(item.id, "Atlantis Standard Time")
    answer = ask(get_request(item.id, paths=ZONES))
    assert [one.get("Id") for one in answer.all(".//t:StartTimeZone")] == ["Atlantis Standard Time"]
    [view] = alice.calendar.view(
        start=EWSDateTime(2026, 5, 4, tzinfo=BERLIN), end=EWSDateTime(2026, 5, 5, tzinfo=BERLIN)
    ).only("start")
    assert view.start == EWSDateTime(2026, 5, 4, 9, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "2026-05-04T09:00:00Z"),
        (
            '<t:TimeZoneContext><t:TimeZoneDefinition Id="Tokyo Standard Time"/>'
            "</t:TimeZoneContext>",
            "2026-05-04T00:00:00Z",
        ),
    ],
)
def test_a_series_without_a_zone_has_that_of_its_request(
    ask: Ask, header: str, expected: str
) -> None:
    text = create("UTC", "UTC").replace(
        '<t:StartTimeZone Id="UTC"/><t:EndTimeZone Id="UTC"/>',
        "<t:Recurrence><t:DailyRecurrence><t:Interval>1</t:Interval></t:DailyRecurrence>"
        "<t:NumberedRecurrence><t:StartDate>2026-05-04</t:StartDate>"
        "<t:NumberOfOccurrences>2</t:NumberOfOccurrences></t:NumberedRecurrence></t:Recurrence>",
    )
    [item] = ask(text, header=header).ids(".//t:ItemId")
    start = '<t:FieldURI FieldURI="calendar:Start"/>'
    answer = ask(get_request(item, paths=ZONES + start))
    assert answer.texts(".//t:Start") == [expected]
    found = [one.get("Id") for one in answer.all(".//t:StartTimeZone")]
    assert found == (["Tokyo Standard Time"] if header else [])
