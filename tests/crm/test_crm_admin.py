"""People see and change activities and filters, each as far as they may."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from syncservice.crm import templates
from syncservice.crm.models import Appointment, Contact, SyncFilter, Task, User
from tests import factories

pytestmark = pytest.mark.django_db
MINE = '{"field": "owner", "operator": "eq", "value": "me"}'


@pytest.fixture
def boss(client) -> User:
    user = User.objects.create_superuser("boss", "boss@example.test", "a password")
    client.force_login(user)
    return user


@pytest.fixture
def bob() -> User:
    """Somebody who may have filters, and is logged in nowhere yet."""
    user = User.objects.create(username="bob", is_staff=True)
    allowed = Permission.objects.filter(
        content_type__app_label="crm", codename__contains="syncfilter"
    )
    user.user_permissions.set(allowed)
    return user


def listed(client, model: str) -> list:
    page = client.get(reverse(f"admin:crm_{model}_changelist"))
    return list(page.context["cl"].result_list)


@pytest.mark.parametrize(
    ("model", "make"),
    [
        ("contact", factories.contact),
        ("task", factories.task),
        ("appointment", factories.appointment),
    ],
)
def test_records_are_listed_and_shown(client, boss, model, make):
    record = make()
    assert listed(client, model) == [record]
    page = client.get(reverse(f"admin:crm_{model}_change", args=[record.pk]))
    assert page.status_code == 200
    assert client.get(reverse(f"admin:crm_{model}_add")).status_code == 200


def test_a_task_has_a_status_of_its_kind(client, boss):
    form = {"kind": "phone_call", "priority": 1, "subject": "Call", "status": 7}
    page = client.post(reverse("admin:crm_task_add"), form)
    assert "Choose a status of its kind." in str(page.context["errors"])
    form["status"] = 1
    assert client.post(reverse("admin:crm_task_add"), form).status_code == 302
    assert Task.objects.get().state == Task.State.OPEN


def test_an_appointment_does_not_end_before_it_starts(client, boss):
    form = {
        "kind": "appointment",
        "status": 5,
        "priority": 1,
        "subject": "Review",
        "starts_at_0": "2026-03-02",
        "starts_at_1": "10:00",
        "ends_at_0": "2026-03-02",
        "ends_at_1": "09:00",
        "parties-TOTAL_FORMS": 0,
        "parties-INITIAL_FORMS": 0,
    }
    page = client.post(reverse("admin:crm_appointment_add"), form)
    assert "An appointment can" in str(page.context["errors"])
    form["ends_at_1"] = "11:00"
    assert client.post(reverse("admin:crm_appointment_add"), form).status_code == 302
    assert Appointment.objects.get().subject == "Review"


def test_everybody_has_own_filters(client, boss, bob):
    client.force_login(bob)
    assert {one.user for one in listed(client, "syncfilter")} == {bob}
    form = {"name": "Mine", "entity": "contact", "criteria": MINE, "is_active": "on"}
    stolen = {"kind": "system", "user": boss.pk, "is_default": "on"}
    assert client.post(reverse("admin:crm_syncfilter_add"), form | stolen).status_code == 302
    made = SyncFilter.objects.get(name="Mine")
    assert (made.user, made.kind, made.is_default) == (bob, "user", False)
    other = SyncFilter.objects.filter(user=boss).first()
    page = client.get(reverse("admin:crm_syncfilter_change", args=[other.pk]), follow=True)
    assert page.redirect_chain
    page = client.post(reverse("admin:crm_syncfilter_add"), form | {"criteria": "[]"})
    assert "A condition or a group is an object." in str(page.context["errors"])


def test_who_manages_filters_sees_and_resets_all(client, boss, bob):
    assert {one.kind for one in listed(client, "syncfilter")} == {"user", "template"}
    SyncFilter.objects.filter(user=bob).delete()
    chosen = {"action": "reset_filters", "_selected_action": [bob.pk]}
    page = client.post(reverse("admin:crm_user_changelist"), chosen, follow=True)
    assert "The filters of 1 user are reset." in page.text
    assert SyncFilter.objects.filter(user=bob).count() == len(templates.DEFAULTS)


def test_a_contacts_page_has_all_that_is_kept_of_it(client, boss):
    page = client.get(reverse("admin:crm_contact_add"))
    offered = set(page.context["adminform"].form.fields)
    kept = {field.name for field in Contact._meta.fields if field.editable} - {"id"}
    assert offered == kept
