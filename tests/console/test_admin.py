"""Administration: the schedule follows each change, and passwords never come out."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import Queue, User
from syncservice.mailboxes.models import (
    ChangeRecord,
    EmailServerProfile,
    Lane,
    Mailbox,
    Schedule,
)
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


def act(staff, action, *boxes):
    """Choose an action for mailboxes in their list."""
    url = reverse("admin:mailboxes_mailbox_changelist")
    chosen = {"action": action, "_selected_action": [box.pk for box in boxes]}
    return staff.post(url, chosen, follow=True)


def change_url(record):
    return reverse(f"admin:mailboxes_{record._meta.model_name}_change", args=[record.pk])


def save(staff, record, **changes):
    url = change_url(record)
    return staff.post(url, form_of(staff, url, **changes))


def is_due(box):
    return Schedule.objects.get(mailbox=box, lane=Lane.INCOMING).due_at is not None


def test_switching_a_mailbox_off_and_on_plans_its_visits(staff):
    box = factories.mailbox()
    assert save(staff, box, is_active=None).status_code == 302
    assert not is_due(box)
    assert save(staff, box, is_active="on").status_code == 302
    assert is_due(box)


def test_a_new_mailbox_is_approved_and_visited_once_it_is_switched_on(staff):
    user = User.objects.create(username="new")
    url = reverse("admin:mailboxes_mailbox_add")
    data = form_of(
        staff, url, name="New", email_address="new@example.test",
        profile=factories.profile().pk, user=user.pk,
    )  # fmt: skip
    assert staff.post(url, data).status_code == 302
    box = Mailbox.objects.get(email_address="new@example.test")
    assert box.approval == Mailbox.Approval.APPROVED
    assert not is_due(box)
    assert box.mappings.get().user == user
    act(staff, "switch_on", box)
    assert is_due(box)


def test_switching_a_profile_off_stops_all_its_mailboxes_and_no_others(staff):
    profile = factories.profile()
    boxes = [factories.mailbox(profile=profile) for _ in range(2)]
    other = factories.mailbox()
    assert save(staff, profile, is_active=None).status_code == 302
    assert [is_due(box) for box in (*boxes, other)] == [False, False, True]


@pytest.mark.parametrize(("action", "due"), [("switch_off", False), ("switch_on", True)])
def test_switching_many_mailboxes_in_the_list_plans_them(staff, action, due):
    boxes = [factories.mailbox(enabled=not due) for _ in range(2)]
    assert "2 mailboxes changed." in act(staff, action, *boxes).text
    assert [is_due(box) for box in boxes] == [due, due]
    changed = ChangeRecord.objects.filter(actor="anna", facts__direction="incoming")
    assert {*changed.values_list("mailbox", flat=True)} == {box.pk for box in boxes}


def test_the_list_tests_and_enables(staff):
    box = factories.mailbox(enabled=False)
    act(staff, "test_and_enable", box)
    asked = {row.kind for row in box.directions.exclude(test_due_at=None)}
    assert asked == {"incoming", "outgoing"}  # as its methods say


def test_rejecting_an_address_stops_its_email_and_approving_starts_it(staff):
    box = factories.mailbox()
    act(staff, "reject", box)
    assert not is_due(box)
    act(staff, "approve", box)
    assert is_due(box)


def test_approving_needs_its_own_permission(client):
    box = factories.mailbox(approval=Mailbox.Approval.PENDING)
    helper = User.objects.create_user("helper", is_staff=True)
    may = Permission.objects.filter(codename__in=["change_mailbox", "view_mailbox"])
    helper.user_permissions.set(may)
    client.force_login(helper)
    act(client, "approve", box)
    box.refresh_from_db()
    assert box.approval == Mailbox.Approval.PENDING


def test_passwords_are_not_taken_over_plain_http(staff, settings):
    settings.ALLOW_PASSWORDS_OVER_HTTP = False
    profile = factories.profile(password=SECRET)
    url = change_url(profile)
    assert "Passwords are not taken over plain HTTP" in staff.get(url).text
    assert save(staff, profile, password="listened to").status_code == 302
    assert EmailServerProfile.objects.get(pk=profile.pk).password == SECRET
    secure = form_of(staff, url) | {"password": "private"}
    assert staff.post(url, secure, secure=True).status_code == 302
    assert EmailServerProfile.objects.get(pk=profile.pk).password == "private"


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
        profile=factories.profile(
            credentials=EmailServerProfile.Credentials.MAILBOX, use_impersonation=False
        )
    )
    response = save(staff, box)
    assert "This server profile wants an account" in response.text
    own = {"allow_credentials": "on", "username": "ann", "password": SECRET}
    assert save(staff, box, **own).status_code == 302


def test_an_address_has_one_mailbox_however_it_is_written(staff):
    factories.mailbox(email_address="ann@example.test")
    response = save(staff, factories.mailbox(), email_address="ANN@example.test")
    assert "There is a mailbox with this address already." in response.text
    assert "Constraint" not in response.text


def test_taking_over_a_mailbox_asks_and_then_ends_the_former_mapping(staff):
    box, other = factories.mailbox(), factories.mailbox()
    old, heir = box.mappings.get(), other.mappings.get().user
    asked = save(staff, box, user=heir.pk)
    assert f"{box} is the mailbox of {old.user}." in asked.text
    assert f"{heir} has the mailbox {other}." in asked.text
    assert 'type="checkbox" name="take_over"' in asked.text
    assert is_due(box)  # nothing has happened yet

    assert save(staff, box, user=heir.pk, take_over="on").status_code == 302
    old.refresh_from_db()
    assert old.ended_at is not None
    assert box.mappings.get(ended_at=None).user == heir
    assert [is_due(box), is_due(other)] == [False, False]


def test_the_account_that_is_typed_with_a_take_over_is_the_new_owners(staff):
    box = factories.mailbox(username="ann", password="of ann", allow_credentials=True)
    heir = User.objects.create(username="heir", email="heir@example.test")
    yes = {"user": heir.pk, "take_over": "on"}
    assert save(staff, box, **yes, password="of the heir", username="ann").status_code == 302
    box.refresh_from_db()
    assert (box.username, box.password, box.allow_credentials) == ("ann", "of the heir", True)


@pytest.mark.parametrize("both", [True, False])
def test_an_owner_is_a_user_or_a_queue(staff, both):
    box = factories.mailbox()
    changes = {"queue": Queue.objects.create(name="Sales").pk} if both else {"user": None}
    response = save(staff, box, **changes)
    assert "Choose either a user or a queue." in response.text
    assert "Constraint" not in response.text


def test_a_changed_address_needs_approval_anew_and_is_its_owners_too(staff):
    box = factories.mailbox()
    assert save(staff, box, email_address="moved@example.test").status_code == 302
    box.refresh_from_db()
    assert (box.email_address, box.approval) == ("moved@example.test", Mailbox.Approval.PENDING)
    assert box.mappings.get().user.email == "moved@example.test"
    assert not is_due(box)


@pytest.mark.parametrize(
    "name", ["mailboxes_schedule", "mailboxes_visitstatistics", "alerts_itemfailure"]
)
def test_what_the_service_writes_can_only_be_read(staff, name):
    assert staff.get(reverse(f"admin:{name}_changelist")).status_code == 200
    assert staff.get(reverse(f"admin:{name}_add")).status_code == 403


@pytest.mark.parametrize(
    "name", ["mailboxes_visitstatistics", "mailboxes_changerecord", "mailboxes_schedule",
             "alerts_alert", "alerts_itemfailure"],
)  # fmt: skip
def test_a_list_of_millions_is_counted_no_further_than_anybody_turns_pages(
    staff, name, django_assert_max_num_queries
):
    with django_assert_max_num_queries(10) as executed:
        staff.get(reverse(f"admin:{name}_changelist"))
    table = f'FROM "{name}"'
    asked = [one["sql"] for one in executed if table in one["sql"]]
    (counting,) = [sql for sql in asked if "COUNT(" in sql]
    assert "LIMIT 10000" in counting
    assert not [sql for sql in asked if "DISTINCT" in sql]  # the values that a filter could offer


def test_the_form_of_a_mailbox_lists_no_more_users_however_many_there_are(staff):
    box = factories.mailbox()
    users = [User(username=f"u{number}", email=f"u{number}@b.test") for number in range(50)]
    User.objects.bulk_create(users)
    html = staff.get(change_url(box)).text
    assert html.count("<option") < 50
    assert f'<option value="{box.mappings.get().user_id}" selected>' in html
