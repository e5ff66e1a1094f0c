"""Filters select what their criteria say, for the user that they are applied for."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from syncservice.crm import templates
from syncservice.crm.filtering import digest, selected
from syncservice.crm.models import (
    Account,
    Appointment,
    AppointmentParty,
    Contact,
    SyncFilter,
    Task,
    User,
)
from syncservice.domain.filters import BadCriteriaError
from syncservice.domain.item_values import ItemKind
from syncservice.sync.item_records import records_of
from tests.factories import appointment

pytestmark = pytest.mark.django_db
MINE = {"field": "owner", "operator": "eq", "value": "me"}


def ask(field: str, operator: str, value: object = None) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


@pytest.fixture
def ann() -> User:
    SyncFilter.objects.all().delete()
    return User.objects.create(username="ann", time_zone="Europe/Amsterdam")


@pytest.fixture
def bob(ann) -> User:
    return User.objects.create(username="bob")


def filtered(user: User | None, entity: str, criteria: object, **fields) -> SyncFilter:
    return SyncFilter.objects.create(
        **{"user": user, "entity": entity, "name": "x", "criteria": criteria, **fields}
    )


@pytest.mark.parametrize(
    ("criteria", "names"),
    [
        (MINE, "Abel"),
        (ask("owner", "ne", "me"), "Bos Cas Dik"),
        (ask("owner", "is_empty"), "Cas Dik"),
        (ask("owner", "not_empty"), "Abel Bos"),
        (ask("last_name", "eq", "bos"), "Bos"),
        (ask("last_name", "ne", "bos"), "Abel Cas Dik"),
        (ask("last_name", "contains", "A"), "Abel Cas"),
        (ask("last_name", "not_contains", "A"), "Bos Dik"),
        (ask("last_name", "contains", "%"), ""),
        (ask("last_name", "begins", "b"), "Bos"),
        (ask("last_name", "ends", "s"), "Bos Cas"),
        (ask("job_title", "is_empty"), "Bos Cas Dik"),
        (ask("job_title", "not_empty"), "Abel"),
        (ask("state", "eq", "active"), "Abel Bos Cas"),
        (ask("state", "ne", "active"), "Dik"),
        (ask("state", "in", ["active", "inactive"]), "Abel Bos Cas Dik"),
        (ask("account", "not_empty"), "Bos"),
        (ask("birthday", "on", "1970-12-31"), "Abel"),
        (ask("birthday", "on_or_before", "1970-12-31"), "Abel"),
        (ask("birthday", "on_or_after", "1970-12-31"), "Abel Bos"),
        (ask("birthday", "on_or_after", "1971-01-01"), "Bos"),
        (ask("birthday", "is_empty"), "Cas Dik"),
        (ask("created_at", "today"), "Abel Bos Cas Dik"),
        ({"all": [MINE, ask("last_name", "begins", "b")]}, ""),
        ({"any": [MINE, ask("last_name", "begins", "b")]}, "Abel Bos"),
        ({"all": [ask("state", "eq", "active"),
                  {"any": [MINE, ask("last_name", "begins", "c")]}]}, "Abel Cas"),
    ],
)  # fmt: skip
def test_contacts_are_selected(criteria, names, ann, bob):
    Contact.objects.create(
        last_name="Abel", owner=ann, job_title="Chief", birthday=date(1970, 12, 31)
    )
    Contact.objects.create(
        last_name="Bos",
        owner=bob,
        account=Account.objects.create(name="Acme"),
        birthday=date(1971, 1, 1),
    )
    Contact.objects.create(last_name="Cas")
    Contact.objects.create(last_name="Dik", is_active=False)
    filtered(ann, "contact", criteria)
    found = selected(ItemKind.CONTACT, ann).order_by("last_name")
    assert [one.last_name for one in found] == names.split()


@pytest.mark.parametrize(
    ("entity", "criteria", "names"),
    [
        ("appointment", ask("party", "eq", "me"), "calls may must"),
        ("appointment", ask("party", "ne", "me"), "lends other"),
        ("appointment", ask("organizer", "eq", "me"), "calls"),
        ("appointment", ask("required", "eq", "me"), "must"),
        ("appointment", ask("optional", "eq", "me"), "may"),
        ("appointment", ask("resource", "eq", "me"), "lends"),
        ("appointment", ask("status", "eq", "free"), "other"),
        ("appointment", ask("state", "eq", "scheduled"), "calls lends may must"),
        ("appointment", ask("priority", "eq", "high"), "other"),
        ("service_activity", ask("party", "eq", "me"), "serves"),
    ],
)
def test_appointments_are_selected(entity, criteria, names, ann, bob):
    for subject, kind, participation in (
        ("calls", "appointment", 7),
        ("must", "appointment", 5),
        ("may", "appointment", 6),
        ("lends", "appointment", 10),
        ("serves", "service_activity", 10),
    ):
        record = appointment(subject=subject, kind=kind)
        for _ in range(2 if participation != 7 else 1):  # twice in the list, once in the answer
            AppointmentParty.objects.create(
                appointment=record, participation=participation, user=ann
            )
    other = appointment(subject="other", owner=ann, status=Appointment.Status.FREE, priority=2)
    AppointmentParty.objects.create(appointment=other, participation=5, user=bob)
    filtered(ann, entity, criteria)
    found = selected(ItemKind.APPOINTMENT, ann).order_by("subject")
    assert [one.subject for one in found] == names.split()


@pytest.mark.parametrize(
    ("criteria", "days"),
    [
        (ask("due_at", "today"), [0]),
        (ask("due_at", "last_days", 1), [-1, 0]),
        (ask("due_at", "next_days", 2), [0, 1, 2]),
        (ask("due_at", "is_empty"), [None]),
        (ask("due_at", "not_empty"), [-2, -1, 0, 1, 2, 3]),
    ],
)
def test_days_are_the_users(criteria, days, ann):
    clock = ZoneInfo(ann.time_zone)
    today = timezone.now().astimezone(clock).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in (-2, -1, 0, 1, 2, 3):
        due = today + timedelta(days=day)
        Task.objects.create(subject=str(day), status=2, due_at=due)
    Task.objects.create(subject="None", status=2)
    filtered(ann, "task", criteria)
    found = {one.subject for one in selected(ItemKind.TASK, ann)}
    assert found == {str(day) for day in days}


def test_several_filters_select_more(ann, bob):
    """What one filter leaves out, another may take; others' filters take nothing (F184, F181)."""
    for subject, kind, status in (
        ("done", "task", 5),
        ("open", "task", 2),
        ("call", "phone_call", 1),
        ("fax", "fax", 1),
    ):
        Task.objects.create(subject=subject, kind=kind, status=status)
    assert not selected(ItemKind.TASK, ann)  # F185

    def found() -> set[str]:
        return {one.subject for one in selected(ItemKind.TASK, ann)}

    filtered(ann, "task", ask("state", "eq", "completed"))
    assert found() == {"done"}
    call = filtered(ann, "phone_call", ask("state", "eq", "open"))
    assert found() == {"done", "call"}
    filtered(None, "task", ask("subject", "eq", "open"), kind="system")
    assert found() == {"done", "call", "open"}
    filtered(bob, "fax", ask("state", "eq", "open"))
    filtered(ann, "fax", ask("state", "eq", "open"), is_active=False)
    filtered(None, "fax", ask("state", "eq", "open"), kind="template")
    assert found() == {"done", "call", "open"}
    call.is_active = False
    call.save()
    assert found() == {"done", "open"}
    assert not selected(ItemKind.CONTACT, ann)
    with CaptureQueriesContext(connection) as queries:
        assert len(records_of(ItemKind.TASK).keys_selected(ann)) == 2
    assert len(queries) == 2  # the filters, and what they select


def test_among_some_records_only_these_are_selected(ann):
    one, other, unwanted = (Task.objects.create(subject=text, status=2) for text in ("a", "a", "b"))
    filtered(ann, "task", ask("subject", "eq", "a"))
    tasks = records_of(ItemKind.TASK)
    assert tasks.keys_selected(ann) == {one.pk, other.pk}
    assert tasks.keys_selected(ann, [other.pk, unwanted.pk]) == {other.pk}
    assert tasks.keys_selected(ann, []) == set()


def test_recurring_tasks_stay_in_the_crm(ann):
    Task.objects.create(subject="a", status=2, is_recurring=True)
    filtered(ann, "task", ask("subject", "eq", "a"))
    assert records_of(ItemKind.TASK).keys_selected(ann) == set()


def test_another_digest_says_that_other_records_may_be_selected(ann, bob):
    seen = {digest(ItemKind.TASK, ann)}
    assert digest(ItemKind.TASK, ann) in seen

    def is_new() -> bool:
        found = digest(ItemKind.TASK, ann)
        if found in seen:
            return False
        seen.add(found)
        return True

    one = filtered(ann, "task", MINE)
    assert is_new()
    one.name = "another"
    one.save()
    filtered(ann, "contact", MINE)
    filtered(bob, "task", MINE)
    assert not is_new()
    one.criteria = {"any": [MINE]}
    one.save()
    assert is_new()
    filtered(None, "fax", MINE, kind="system")
    assert is_new()
    ann.time_zone = "Europe/London"
    assert is_new()
    filtered(ann, "task", ask("due_at", "today"))
    assert is_new()
    ann.time_zone = "Pacific/Kiritimati"
    with_today = digest(ItemKind.TASK, ann)
    assert with_today not in seen


def test_what_can_not_be_applied_is_not_stored(ann):
    bad = ask("due_at", "today", 3)
    with pytest.raises(BadCriteriaError):
        filtered(ann, "task", bad)
    with pytest.raises(ValidationError) as caught:
        SyncFilter(user=ann, entity="task", name="x", criteria=bad).full_clean()
    assert caught.value.message_dict == {"criteria": ["due_at: “today” takes no value."]}
    for user, fields in ((None, {}), (ann, {"kind": "system"}), (ann, {"is_default": True})):
        with pytest.raises(IntegrityError), transaction.atomic():
            filtered(user, "task", MINE, **fields)


# Templates


def test_a_new_organisation_has_templates():
    found = SyncFilter.objects.filter(kind="template", is_default=True)
    assert set(found.values_list("entity", "name")) == {
        (entity, name) for entity, name, _ in templates.DEFAULTS
    }


@pytest.fixture
def cas(ann) -> User:
    """A user who came when there were templates."""
    SyncFilter.objects.bulk_create(templates.defaults())
    return User.objects.create(username="cas")


def criteria_of(user: User) -> dict[str, object]:
    return dict(SyncFilter.objects.filter(user=user).values_list("entity", "criteria"))


def test_a_new_user_has_copies_of_the_templates(ann, cas):
    assert criteria_of(cas) == {entity: said for entity, _, said in templates.DEFAULTS}
    assert criteria_of(ann) == {}
    cas.first_name = "Cas"
    cas.save()
    assert SyncFilter.objects.filter(user=cas).count() == len(templates.DEFAULTS)
    Contact.objects.create(last_name="Mine", owner=cas)
    Contact.objects.create(last_name="Gone", owner=cas, is_active=False)
    Contact.objects.create(last_name="Hers", owner=ann)
    assert [one.last_name for one in selected(ItemKind.CONTACT, cas)] == ["Mine"]


def test_a_template_is_copied_again_when_it_is_asked_for(cas):
    template = SyncFilter.objects.get(kind="template", entity="fax")
    template.criteria = MINE
    template.save()
    assert criteria_of(cas)["fax"] != MINE
    own = filtered(cas, "letter", ask("subject", "eq", "mine"))
    SyncFilter.objects.filter(user=cas, entity="task").update(criteria=MINE, is_active=False)

    templates.instantiate(cas, template)
    assert criteria_of(cas)["fax"] == MINE
    assert criteria_of(cas)["task"] == MINE  # another template's
    templates.instantiate(cas)
    assert criteria_of(cas)["task"] != MINE
    assert SyncFilter.objects.filter(pk=own.pk).exists()
    templates.reset(cas)
    assert not SyncFilter.objects.filter(pk=own.pk).exists()
    assert len(criteria_of(cas)) == len(templates.DEFAULTS)
    assert SyncFilter.objects.filter(user=cas, is_active=False).count() == 0
