"""Administration: the schedule follows each change, and passwords never come out."""

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import Queue, User
from syncservice.mailboxes.models import EmailServerProfile, Mailbox, MailboxMapping, Schedule
from tests import factories

pytestmark = pytest.mark.django_db
SECRET = "correct horse battery staple"


def form_of(staff, url, **changes):
    """Return what the browser would send, had a user made `changes` in the form at `url`."""
    context = staff.get(url).context
    data = {}
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if value is not None and value is not False:
                data[bound.html_name] = value
    return {name: value for name, value in (data | changes).items() if value is not None}


def change_url(record):
    return reverse(f"admin:mailboxes_{record._meta.model_name}_change", args=[record.pk])


def save(staff, record, **changes):
    url = change_url(record)
    return staff.post(url, form_of(staff, url, **changes))


def is_due(box):
    return Schedule.objects.get(mailbox=box).due_at is not None


def test_switching_a_mailbox_off_and_on_plans_its_visits(staff):
    box = factories.mailbox()
    assert save(staff, box, is_active=None).status_code == 302
    assert not is_due(box)
    assert save(staff, box, is_active="on").status_code == 302
    assert is_due(box)


def test_a_new_mailbox_is_due_at_once(staff):
    user = User.objects.create(username="new")
    url = reverse("admin:mailboxes_mailbox_add")
    data = form_of(
        staff, url, name="New", email_address="new@example.test",
        profile=factories.profile().pk, **{"mappings-0-user": user.pk},
    )  # fmt: skip
    assert staff.post(url, data).status_code == 302
    box = Mailbox.objects.get()
    assert is_due(box)
    assert box.mappings.get().user == user


def test_switching_a_profile_off_stops_all_its_mailboxes_and_no_others(staff):
    profile = factories.profile()
    boxes = [factories.mailbox(profile=profile) for _ in range(2)]
    other = factories.mailbox()
    assert save(staff, profile, is_active=None).status_code == 302
    assert [is_due(box) for box in (*boxes, other)] == [False, False, True]


@pytest.mark.parametrize(("action", "due"), [("switch_off", False), ("switch_on", True)])
def test_switching_many_mailboxes_in_the_list_plans_them(staff, action, due):
    boxes = [factories.mailbox(enabled_for_incoming=not due) for _ in range(2)]
    url = reverse("admin:mailboxes_mailbox_changelist")
    chosen = {"action": action, "_selected_action": [box.pk for box in boxes]}
    response = staff.post(url, chosen, follow=True)
    assert "2 mailboxes changed." in response.text
    assert [is_due(box) for box in boxes] == [due, due]
    assert LogEntry.objects.count() == 2


def test_nothing_is_deleted_here(staff):
    box = factories.mailbox()
    for record in (box, box.profile):
        url = reverse(f"admin:mailboxes_{record._meta.model_name}_delete", args=[record.pk])
        assert staff.get(url).status_code == 403
    listing = staff.get(reverse("admin:mailboxes_mailbox_changelist")).text
    assert "delete_selected" not in listing


def test_a_password_is_in_no_page_of_the_administration(staff):
    profile = factories.profile(password=SECRET)
    box = factories.mailbox(profile=profile, username="own", password=SECRET)
    ItemFailure.objects.create(mailbox=box, item_id="1", code="c", reason="r", state="retrying")
    pages = [change_url(profile), change_url(box)]
    names = [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]
    pages += [reverse(f"admin:{name}_changelist") for name in names]
    pages += [reverse("admin:mailboxes_mailbox_history", args=[box.pk])]
    for record in (profile, box):
        save(staff, record, password=SECRET)
        response = save(staff, record, password=SECRET, name="")
        assert response.status_code == 200  # the form again, with its error
        assert SECRET not in response.text
    for page in pages:
        response = staff.get(page)
        assert response.status_code == 200, page
        assert SECRET not in response.text, page
        assert "gAAAA" not in response.text, page  # nor the token that encrypts it


def test_somebody_who_may_only_view_sees_no_password(client):
    box = factories.mailbox(password=SECRET)
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)
    for record in (box, box.profile):
        response = client.get(change_url(record))
        assert response.status_code == 200
        assert SECRET not in response.text
        assert "secret" not in response.text
        assert "gAAAA" not in response.text


def test_an_empty_password_field_keeps_the_stored_one(staff):
    profile = factories.profile(password=SECRET)
    assert "A password is set. Leave this empty to keep it." in staff.get(change_url(profile)).text
    assert save(staff, profile, description="changed").status_code == 302
    profile.refresh_from_db()
    assert (profile.password, profile.description) == (SECRET, "changed")


def test_a_new_password_replaces_the_stored_one_with_its_spaces(staff):
    profile = factories.profile()
    assert save(staff, profile, password=" new ").status_code == 302
    assert EmailServerProfile.objects.get(pk=profile.pk).password == " new "


def test_a_profile_with_credentials_of_its_own_needs_both(staff):
    profile = factories.profile(password="")
    response = save(staff, profile, username="")
    assert "Enter the account that opens the mailboxes" in response.text
    assert "Enter the password of this account." in response.text


def test_a_mailbox_needs_an_account_when_its_profile_has_none(staff):
    box = factories.mailbox(
        profile=factories.profile(credentials=EmailServerProfile.Credentials.MAILBOX)
    )
    response = save(staff, box)
    assert "This server profile wants an account" in response.text
    assert save(staff, box, username="ann", password=SECRET).status_code == 302


def test_an_address_has_one_mailbox_however_it_is_written(staff):
    factories.mailbox(email_address="ann@example.test")
    response = save(staff, factories.mailbox(), email_address="ANN@example.test")
    assert "There is a mailbox with this address already." in response.text
    assert "Constraint" not in response.text


def test_an_owner_has_one_mailbox(staff):
    first, second = factories.mailbox(), factories.mailbox()
    taken = {"mappings-0-user": first.mappings.get().user_id}
    response = save(staff, second, **taken)
    assert f"has the mailbox {first} already" in response.text
    assert "Constraint" not in response.text


@pytest.mark.parametrize("both", [True, False])
def test_an_owner_is_a_user_or_a_queue(staff, both):
    box = factories.mailbox()
    changes = (
        {"mappings-0-queue": Queue.objects.create(name="Sales").pk}
        if both
        else {"mappings-0-user": None}
    )
    response = save(staff, box, **changes)
    assert "Choose either a user or a queue." in response.text
    assert "Constraint" not in response.text


def test_a_mailbox_changes_hands_in_one_step(staff):
    box = factories.mailbox()
    heir = User.objects.create(username="heir")
    old = box.mappings.get()
    added = {
        "mappings-TOTAL_FORMS": 2,
        "mappings-1-user": heir.pk,
        "mappings-1-mailbox": box.pk,
    }
    assert "A mailbox has one owner" in save(staff, box, **added).text
    ended = {"mappings-0-ended_at_0": "2026-01-01", "mappings-0-ended_at_1": "12:00:00"}
    assert save(staff, box, **added, **ended).status_code == 302
    old.refresh_from_db()
    assert old.ended_at is not None
    assert MailboxMapping.objects.get(ended_at=None).user == heir


@pytest.mark.parametrize(
    "name", ["mailboxes_schedule", "mailboxes_visitstatistics", "alerts_itemfailure"]
)
def test_what_the_service_writes_can_only_be_read(staff, name):
    assert staff.get(reverse(f"admin:{name}_changelist")).status_code == 200
    assert staff.get(reverse(f"admin:{name}_add")).status_code == 403
