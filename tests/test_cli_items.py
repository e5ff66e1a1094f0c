"""Appointments, contacts and tasks by the command line: how they stand, and what people decide."""

import json
import uuid

import pytest
from django.utils import timezone

from syncservice.crm.models import Account, Appointment, Contact, Task, User
from syncservice.domain.field_map import BY_NAME
from syncservice.mailboxes.models import (
    ChangeRecord,
    FieldSetting,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Mailbox,
    Organisation,
)
from tests.console import items
from tests.console.test_items_page import undo_now
from tests.test_cli_administration import ANN, done, run, told
from tests.test_cli_email import refused

pytestmark = pytest.mark.django_db
Action = JournalEntry.Action


@pytest.fixture
def ann() -> Mailbox:
    return items.mailbox(ANN)


def wrong(*command: str) -> str:
    """Run a command that is used wrongly; return what it says."""
    result = run(*command)
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()[-1]


# --- How they stand -------------------------------------------------------------------------------


def test_the_status_tells_of_each_kind_and_of_questions(ann):
    items.progress(ann)
    items.failed(ann, due_at=timezone.now())
    items.link(ann, state="creating", question="mass_deletion")
    shown = told("items", "status", ANN)
    *_, tasks = shown["kinds"]
    assert (tasks["kind"], tasks["first_synchronization"]) == ("task", "asking")
    assert tasks["links"] == {"linked": 1, "creating": 1}
    assert (tasks["due"], tasks["failed"], tasks["questions"]) == (1, 1, 1)
    assert tasks["plan"]["creates_in_exchange"] == 1234
    assert [(one["question"], one["number"]) for one in shown["questions"]] == [
        ("first", 1), ("deletions", 1)
    ]  # fmt: skip
    words = done("items", "status", ANN)
    assert "linked 1" in words
    assert f"`syncservice items answer {ANN} deletions yes|no`" in words


def test_links_are_listed_without_their_subjects(ann):
    items.link(ann, state="unlinked")
    failed = items.failed(ann)
    assert len(told("items", "list", ANN)) == 2
    (listed,) = told("items", "list", ANN, "--failed")
    assert (listed["key"], listed["code"]) == (str(failed.key), "exchange.schema_validation")
    assert told("items", "list", ANN, "--state", "unlinked")[0]["state"] == "unlinked"
    assert "My illness" not in done("items", "list", ANN) + done("items", "list", ANN, "--json")


def test_the_plan_is_shown_and_looked_at_anew(ann):
    items.progress(ann)
    *_, tasks = told("items", "plan", ANN)
    assert (tasks["creates_in_crm"], tasks["why_it_asks"]) == (5, "1239 would be created")
    assert "1 kinds are looked at anew" in run("items", "plan", ANN, "--fresh").stderr
    assert (ItemProgress.objects.get().first, items.is_woken(ann)) == ("new", True)
    assert "No first synchronization" in refused("items", "plan", ANN, "--fresh")


# --- What people decide ---------------------------------------------------------------------------


def test_a_question_is_answered(ann):
    items.progress(ann)
    done("items", "answer", ANN, "first", "yes")
    assert ItemProgress.objects.get().first == "agreed"
    items.link(ann, question="mass_deletion")
    done("items", "answer", ANN, "deletions", "no")
    assert ItemLink.objects.get().answer is False
    assert "Nothing of that sort" in refused("items", "answer", ANN, "conflicts", "no")


@pytest.fixture
def twins(ann) -> list[Contact]:
    facts = {"first_name": "Kim", "last_name": "Karst", "owner": items.user_of(ann)}
    emails = ("kim@x.test", "k@x.test")
    return [Contact.objects.create(email_address=email, **facts) for email in emails]


def test_contacts_that_the_crm_may_have_are_listed(ann, twins):
    link = items.duplicate(ann, *twins)
    (listed,) = told("items", "duplicates", ANN)
    assert (listed["item"], listed["subject"]) == (link.pk, "***")
    first, second = listed["records"]
    assert (first["record"], first["name"]) == (str(twins[0].key), "Kim Karst")
    assert (first["addresses"], first["alike"]) == (["kim@x.test"], "name")
    assert second["record"] == str(twins[1].key)
    assert "k@x.test" in done("items", "duplicates", ANN)
    assert "Secret" not in done("items", "duplicates", ANN)
    (asked,) = told("items", "status", ANN)["questions"]
    assert (asked["question"], asked["number"]) == ("duplicates", 1)
    twins[0].delete()
    twins[1].delete()
    assert told("items", "duplicates", ANN)[0]["records"] == []
    assert str(link.pk) in done("items", "duplicates", ANN)


def test_somebody_says_who_a_contact_is(ann, twins):
    link = items.duplicate(ann, *twins)
    number = ("--item", str(link.pk))
    assert "Say which record it is" in refused("items", "answer", ANN, "duplicates", "no", *number)
    key = str(twins[1].key)
    done("items", "answer", ANN, "duplicates", "no", *number, "--record", key)
    link.refresh_from_db()
    assert (link.answer, link.chosen) == (False, twins[1].key)
    assert items.is_woken(ann)
    assert "Nothing is asked" in refused("items", "answer", ANN, "duplicates", "yes", *number)
    facts = {"code": "items.duplicate_contact", "yes": False, "item": link.pk, "record": key}
    assert ChangeRecord.objects.get(action="question.answered").facts == facts


def test_a_contact_that_is_like_one_record_only_is_joined_with_it(ann, twins):
    link = items.duplicate(ann, twins[0])
    done("items", "answer", ANN, "duplicates", "no", "--item", str(link.pk))
    other = items.duplicate(ann, twins[1])
    done("items", "answer", ANN, "duplicates", "no")
    chosen = ItemLink.objects.order_by("pk").values_list("chosen", flat=True)
    assert list(chosen) == [twins[0].key, twins[1].key]
    another = items.duplicate(ann, *twins)
    done("items", "answer", ANN, "duplicates", "yes", "--item", str(another.pk))
    assert ItemLink.objects.filter(answer=True).get() == another
    assert other.pk


@pytest.mark.parametrize("words", [
    ("first", "yes", "--item", "1"), ("duplicates", "no", "--record", str(uuid.uuid4())),
    ("duplicates", "yes", "--item", "1", "--record", str(uuid.uuid4())),
])  # fmt: skip
def test_options_that_do_not_go_together_are_refused(ann, words):
    wrong("items", "answer", ANN, *words)


def test_items_of_another_organisation_are_counted_and_taken_over(ann):
    progress = items.progress(ann, first="done", plan=items.PLAN | {"linked_elsewhere": 3})
    (asked,) = told("items", "status", ANN)["questions"]
    assert (asked["question"], asked["number"]) == ("elsewhere", 3)
    *_, tasks = told("items", "plan", ANN)
    assert tasks["linked_elsewhere"] == 3
    for word, becomes in (("no", "left"), ("yes", "wanted")):
        done("items", "answer", ANN, "elsewhere", word)
        progress.refresh_from_db()
        assert (progress.elsewhere, progress.first) == (becomes, "done")
    assert "Nothing of that sort" in refused("items", "answer", ANN, "elsewhere", "yes")
    assert items.is_woken(ann)


def test_what_failed_is_tried_again(ann):
    items.failed(ann)
    assert done("items", "retry", ANN) == "1 items are tried again now\n"
    assert items.is_woken(ann)
    assert done("items", "retry", ANN) == "0 items are tried again now\n"


@pytest.mark.parametrize("command", [
    ("status",), ("list",), ("plan",), ("retry",), ("conflicts",), ("journal",), ("duplicates",),
])  # fmt: skip
def test_a_mailbox_that_is_none_is_told_so(command):
    assert "see `syncservice mailbox list`" in wrong("items", *command, "nobody@example.test")


def test_a_mailbox_is_visited_now(ann):
    assert "1 of 1" in done("mailbox", "sync-now", ANN, "--act")
    assert items.is_woken(ann)


# --- Conflicts ------------------------------------------------------------------------------------


def test_conflicts_are_listed_of_one_mailbox_or_all(ann):
    conflict = items.conflict(ann, items.task(ann))
    bob = items.mailbox("bob@example.test")
    items.conflict(bob, items.task(bob))
    (listed,) = told("items", "conflicts", ANN)
    assert (listed["id"], listed["crm"], listed["exchange"]) == (
        conflict.pk, "Call Ash", "Call Carla"
    )  # fmt: skip
    assert (listed["value"], listed["kept"]) == ("subject", "exchange")
    assert len(told("items", "conflicts")) == 2


def test_a_conflict_is_reversed_once(ann):
    record = items.task(ann)
    conflict = items.conflict(ann, record)
    done("items", "reverse", str(conflict.pk))
    record.refresh_from_db()
    conflict.refresh_from_db()
    assert (record.subject, conflict.reversed_by) == ("Call Ash", "command line")
    assert "reversed already" in refused("items", "reverse", str(conflict.pk))
    assert "no such conflict" in refused("items", "reverse", "0")


def an_appointment(ann) -> Appointment:
    key = done(
        *("appointment", "add", "--subject", "Lunch", "--organizer", ANN, "--zone", "UTC"),
        *("--start", "2100-01-02T12:00:00", "--end", "2100-01-02T13:00:00"),
        *("--required", "Bob <bob@x.test>", "--optional", "carla@x.test"),
    ).strip()
    return Appointment.objects.get(pk=key)


def people(record: Appointment) -> dict[str, int]:
    return dict(record.parties.exclude(participation=7).values_list("address", "participation"))


@pytest.mark.parametrize(("address", "kept", "lost", "after"), [
    ("bob@x.test", "required", "optional", {"bob@x.test": 6, "carla@x.test": 6}),
    ("bob@x.test", "required", None, {"carla@x.test": 6}),
    ("eve@x.test", None, "required",
     {"bob@x.test": 5, "carla@x.test": 6, "eve@x.test": 5}),
])  # fmt: skip
def test_a_conflict_about_an_attendee_is_reversed(ann, address, kept, lost, after):
    record = an_appointment(ann)
    conflict = ItemConflict.objects.create(
        link=items.link(ann, kind="appointment", key=record.pk),
        name=f"attendee:{address}", crm=kept, exchange=lost, winner="crm",
    )  # fmt: skip
    done("items", "reverse", str(conflict.pk))
    assert people(record) == after


def series(weekday: str, starts: str) -> dict:
    time = {"start": f"{starts}T12:00:00Z", "end": f"{starts}T13:00:00Z", "all_day": False}
    recurrence = {"pattern": "weekly", "interval": 1, "weekdays": [weekday], "starts_on": starts}
    return {"time": time | {"zone": "Etc/UTC"}, "recurrence": recurrence}


def test_a_conflict_about_a_series_is_reversed_with_its_time(ann):
    record = an_appointment(ann)
    saturday, sunday = series("saturday", "2100-01-02"), series("sunday", "2100-01-03")
    Appointment.objects.filter(pk=record.pk).update(recurrence=saturday["recurrence"])
    link = items.link(ann, kind="appointment", key=record.pk)
    conflict = ItemConflict.objects.create(
        link=link, name="recurrence", crm=saturday, exchange=sunday, winner="crm"
    )
    done("items", "reverse", str(conflict.pk))
    record.refresh_from_db()
    assert record.recurrence == sunday["recurrence"]
    assert record.starts_at.isoformat() == "2100-01-03T12:00:00+00:00"
    other = ItemConflict.objects.create(
        link=link, name="recurrence", crm=saturday, exchange=sunday, winner="crm"
    )
    assert "changed since" in refused("items", "reverse", str(other.pk))


# --- The journal ----------------------------------------------------------------------------------


def test_a_visit_is_undone_and_the_journal_tells_what_came_of_it(ann):
    record = items.task(ann, subject="New")
    items.entry(
        ann, 7, Action.CHANGED_RECORD, key=record.pk, before={"subject": "Old"},
        after={"subject": "New"},
    )  # fmt: skip
    items.entry(ann, 8, Action.DELETED_ITEM)
    assert [one["visit"] for one in told("items", "journal", ANN)] == [8, 7]
    (entry,) = told("items", "journal", ANN, "--visit", "7")
    assert (entry["did"], entry["values"]) == ("record changed", "subject")
    assert "My illness" not in json.dumps(entry)
    assert "1 entries are undone by the next visit" in done("items", "undo", ANN, "7")
    assert items.is_woken(ann)
    assert [one["to_be_undone"] for one in told("items", "journal", ANN)] == [0, 1]
    undo_now(ann, "task")
    record.refresh_from_db()
    assert record.subject == "Old"
    assert [one["undone"] for one in told("items", "journal", ANN)] == [0, 1]
    assert "was asked to be undone before" in refused("items", "undo", ANN, "7")
    assert "is not in the journal" in refused("items", "undo", ANN, "9")
    assert "see `syncservice items journal" in wrong("items", "journal", ANN, "--visit", "9")


# --- Fields ---------------------------------------------------------------------------------------


def test_every_mapping_is_listed():
    assert {one["mapping"] for one in told("fields")} == {*BY_NAME}
    faxes = told("fields", "--type", "fax")
    assert {one["mapping"].partition(".")[0] for one in faxes} == {"fax"}
    (subject,) = [one for one in faxes if one["mapping"] == "fax.subject"]
    assert (subject["default"], subject["allowed"]) == ("both", "both, to-exchange, to-crm, none")
    assert (subject["direction"], subject["policy"]) == ("", "")


def test_a_direction_and_a_policy_are_chosen_and_taken_back():
    done("fields", "set", "contact.pager", "--direction", "to-crm", "--policy", "crm")
    row = FieldSetting.objects.get()
    assert (row.mapping, row.direction, row.policy) == ("contact.pager", "TO_CRM", "crm")
    (listed,) = [one for one in told("fields") if one["mapping"] == "contact.pager"]
    assert (listed["direction"], listed["policy"]) == ("to-crm", "crm")
    done("fields", "set", "contact.pager", "--direction", "default")
    row.refresh_from_db()
    assert (row.direction, row.policy) == ("", "crm")
    assert ChangeRecord.objects.filter(action="field.changed").count() == 2


@pytest.mark.parametrize(("mapping", "direction", "said"), [
    ("task.status", "none", "direction can't be changed"),
    ("appointment.attachments", "both", "the setting for attachments decides"),
    ("task.colour", "none", "There is no mapping task.colour."),
])  # fmt: skip
def test_what_the_map_does_not_allow_is_refused(mapping, direction, said):
    assert said in refused("fields", "set", mapping, "--direction", direction)
    assert not FieldSetting.objects.exists()


def test_a_mapping_that_is_none_gets_no_policy():
    assert "There is no mapping" in refused("fields", "set", "x", "--policy", "crm")
    assert "give --direction or --policy" in wrong("fields", "set", "task.due")


def test_the_organisations_settings_are_changed():
    done(
        *("organisation", "set", "--three-contact-addresses", "--no-ignore-copied-items"),
        *("--ask-above-deletions", "25"),
    )
    row = Organisation.current()
    assert (row.three_contact_addresses, row.ignores_copied_items) == (True, False)
    assert (row.asks_above_deletions, row.asks_above_creations) == (25, 500)


# --- The records themselves -----------------------------------------------------------------------


def test_an_appointment_is_written_on_the_clock_of_its_zone(ann):
    User.objects.update(time_zone="Europe/Berlin")
    key = done(
        *("appointment", "add", "--subject", "Lunch", "--organizer", f"Ann <{ANN}>"),
        *("--start", "2026-07-02T12:00:00", "--end", "2026-07-02T13:00:00"),
        *("--required", "Bob <bob@x.test>", "--importance", "high", "--reminder", "5"),
    ).strip()
    record = Appointment.objects.get(pk=key)
    assert record.starts_at.isoformat() == "2026-07-02T10:00:00+00:00"
    assert (record.owner, record.time_zone) == (items.user_of(ann), "Europe/Berlin")
    items.link(ann, kind="appointment", key=record.pk)
    shown = told("appointment", "show", key)
    assert shown["organizer"]["address"] == ANN
    assert shown["required"] == [{"address": "bob@x.test", "name": "Bob"}]
    assert shown["mailboxes"] == [f"{ANN}: linked"]
    words = done("appointment", "show", key)
    assert "2026-07-02 12:00 – 13:00 (Europe/Berlin)" in words


def test_an_appointment_is_changed_listed_called_off_and_deleted(ann):
    record = an_appointment(ann)
    key = str(record.pk)
    done("appointment", "set", key, "--end", "2100-01-02T14:00:00", "--required", "eve@x.test")
    record.refresh_from_db()
    assert (record.starts_at.hour, record.ends_at.hour, record.subject) == (12, 14, "Lunch")
    assert people(record) == {"eve@x.test": 5, "carla@x.test": 6}
    assert [one["key"] for one in told("appointment", "list")] == [key]
    done("appointment", "cancel", key)
    record.refresh_from_db()
    assert record.state == Appointment.State.CANCELED
    done("appointment", "delete", key)
    assert told("appointment", "list") == []


def test_a_series_is_written(ann):
    record = an_appointment(ann)
    pattern = '{"pattern": "weekly", "weekdays": ["saturday"], "count": 3}'
    done("appointment", "set", str(record.pk), "--recurrence", pattern)
    record.refresh_from_db()
    assert (record.recurrence["starts_on"], record.recurrence["count"]) == ("2100-01-02", 3)


@pytest.mark.parametrize(("options", "said"), [
    (("--start", "2026-01-01"), "give --start and --end"),
    (("--start", "2026-01-02", "--end", "2026-01-01"), "it ends before it starts"),
    (("--start", "2026-01-01", "--end", "2026-01-02", "--zone", "Moon"), "time zone 'Moon'"),
    (("--start", "2026-01-01", "--end", "2026-01-02", "--required", "Bob"), "'Bob' is no address"),
    (("--start", "2026-01-01", "--end", "2026-01-02", "--recurrence", "x"), "can't be read"),
    (("--start", "2026-01-01", "--end", "2026-01-02", "--about", "x:1"), "'x:1' is no record"),
])  # fmt: skip
def test_an_appointment_that_can_not_be_is_refused(ann, options, said):
    assert said in wrong("appointment", "add", "--organizer", ANN, *options)
    assert not Appointment.objects.exists()


def test_an_appointment_of_a_strangers_needs_an_owner(ann):
    times = ("--start", "2026-01-01T09:00:00", "--end", "2026-01-01T10:00:00")
    options = ("appointment", "add", "--organizer", "eve@x.test", *times)
    assert "name the one who has it with --owner" in wrong(*options)
    done(*options, "--owner", items.user_of(ann).username)
    assert Appointment.objects.get().owner == items.user_of(ann)


def test_a_task_is_written_changed_and_deleted(ann):
    name = items.user_of(ann).username
    account = Account.objects.create(name="Contoso")
    key = done(
        *("task", "add", "--owner", name, "--subject", "Call", "--due", "2026-03-02"),
        *("--about", f"account:{account.pk}", "--importance", "low"),
    ).strip()
    record = Task.objects.get(pk=key)
    assert (record.subject, record.regarding, record.priority) == ("Call", account, 0)
    done("task", "set", key, "--status", "completed")
    record.refresh_from_db()
    assert record.state == Task.State.COMPLETED
    shown = told("task", "show", key)
    assert (shown["due"], shown["owner"], shown["mailboxes"]) == ("2026-03-02", name, [])
    assert len(told("task", "list", "--owner", name)) == 1
    done("task", "delete", key)
    assert not Task.objects.exists()


def test_a_contact_is_written_changed_and_deleted(ann):
    name = items.user_of(ann).username
    key = done(
        *("contact", "add", "--owner", name, "--first", "Carla", "--last", "Ash"),
        *("--email1", "carla@x.test", "--mobile", "123", "--birthday", "1970-12-31"),
        *("--city", "Delft", "--job-title", "Boss"),
    ).strip()
    record = Contact.objects.get(key=key)
    assert (str(record), record.email_address, record.mobile_phone) == (
        "Carla Ash", "carla@x.test", "123"
    )  # fmt: skip
    done("contact", "set", key, "--last", "Elm", "--mobile", "", "--street", "Markt 1")
    record.refresh_from_db()
    assert (str(record), record.mobile_phone) == ("Carla Elm", "")
    assert (record.address1_city, record.address1_street) == ("Delft", "Markt 1")
    assert told("contact", "show", key)["birthday"] == "1970-12-31"
    assert [one["name"] for one in told("contact", "list", "--owner", name)] == ["Carla Elm"]
    done("contact", "delete", key)
    assert told("contact", "list") == []


def test_a_contact_that_can_not_be_is_refused(ann):
    name = items.user_of(ann).username
    assert "give --last" in wrong("contact", "add", "--owner", name)
    add = ("contact", "add", "--owner", name, "--last", "Ash", "--email1", "Ash")
    assert "email" in refused(*add)
    assert not Contact.objects.exists()


@pytest.mark.parametrize("kind", ["appointment", "task", "contact"])
@pytest.mark.parametrize("command", ["show", "delete", "set"])
def test_a_record_that_is_none_is_told_so(kind, command):
    said = wrong(kind, command, str(uuid.uuid4()))
    assert f"see `syncservice {kind} list`" in said


def test_nothing_to_change_is_told_so(ann):
    assert "--help lists it" in wrong("task", "set", str(items.task(ann).pk))
