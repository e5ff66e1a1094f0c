"""The page of a mailbox's appointments, contacts and tasks: what it tells, to whom, and its
buttons.
"""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.console import item_views, item_wording
from syncservice.crm.models import Contact, User
from syncservice.domain.item_values import VALUES, ItemKind
from syncservice.mailboxes import administration, schedule
from syncservice.mailboxes.models import (
    ChangeRecord,
    FieldSetting,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Lane,
    Mailbox,
    Organisation,
)
from syncservice.sync.item_records import records_of
from syncservice.sync.items.book import Book
from syncservice.sync.items.journal import note_undoing
from tests import factories
from tests.console import items
from tests.console.test_outgoing_email import logged_in

pytestmark = pytest.mark.django_db
State = ItemLink.State
Action = JournalEntry.Action
ANN = "ann@example.test"


@pytest.fixture
def ann() -> Mailbox:
    return items.mailbox(ANN)


@pytest.fixture
def owner(ann) -> Client:
    return logged_in(items.user_of(ann))


def page(browser: Client, box: Mailbox, **query) -> str:
    response = browser.get(reverse("items", args=[box.pk]), query)
    assert response.status_code == 200
    return response.text


def press(browser: Client, box: Mailbox, action: str, **given):
    url = reverse("act_on_items", args=[box.pk])
    return browser.post(url, {"action": action, **given}, follow=True)


def undo_now(box: Mailbox, kind: ItemKind) -> None:
    """Do as the next visit: undo what was asked for."""
    claimed = schedule.claim_now(box.pk, Lane.ACT, factories.LEASE)
    claim = schedule.begin(claimed[0], factories.LEASE).claim
    note_undoing(
        Book(claim, box, items.user_of(box), Organisation.current(), kind, records_of(kind), "")
    )


# --- What it tells --------------------------------------------------------------------------------


def test_a_mailbox_that_nobody_looked_at_yet_says_so(owner, ann):
    html = page(owner, ann)
    assert html.count("not yet looked at") == 3
    assert "No visit has written anything yet." in html
    assert "Look anew" not in html
    assert "What failed" not in html


def test_links_are_counted_by_what_becomes_of_them(owner, ann):
    for state in (State.LINKED, State.LINKED, State.CREATING):
        items.link(ann, state=state, due_at=timezone.now())
    items.failed(ann)
    items.link(items.mailbox("bob@example.test"), state=State.DELETED)
    html = page(owner, ann)
    assert "<b>3</b> both are kept in step" in html
    assert "<b>1</b> the record becomes an item" in html
    assert "the item was deleted" not in html  # Bob's
    assert 'data-label="To be looked at">3</td>' in html
    assert '<span class="alarm">1</span>' in html


def test_a_plan_is_told_and_why_it_asks(owner, ann):
    items.progress(ann)
    html = page(owner, ann)
    assert 'data-label="Created in the mailbox">1,234</td>' in html
    assert 'data-label="Invitations sent">8</td>' in html
    assert "1239 would be created" in html
    assert "Much would be created when this mailbox is first synchronized" in html


def test_a_failure_tells_its_reason_and_when_it_is_tried_again(owner, ann):
    items.failed(ann, attempts=4, due_at=items.FOREVER)
    items.failed(ann, subject="", due_at=None)
    html = page(owner, ann)
    assert "<small>The server refuses the due date. <code>exchange.schema_validation" in html
    assert "when it is changed" in html
    assert '<td class="number" data-label="Attempts">4</td>' in html
    assert "My illness" in html
    assert "(no subject)" in html


def test_many_failures_are_cut(owner, ann, monkeypatch):
    monkeypatch.setattr(item_views, "FAILURES_SHOWN", 2)
    for _ in range(3):
        items.failed(ann)
    html = page(owner, ann)
    assert html.count("The server refuses the due date.") == 2
    assert "“syncservice items list --failed” shows more" in html


def test_a_conflict_tells_both_values_and_which_was_kept(owner, ann):
    items.conflict(ann, items.task(ann, subject="Call <Carla>"))
    html = page(owner, ann)
    assert "Call Ash" in html
    assert "Call &lt;Carla&gt;" in html
    assert 'data-label="Kept">the mailbox</td>' in html
    assert "Reverse" in html


def test_the_journal_tells_what_visits_did(owner, ann):
    items.entry(ann, 7, Action.CREATED_ITEM)
    items.entry(ann, 7, Action.CREATED_ITEM)
    items.entry(ann, 7, Action.CHANGED_RECORD, kind="contact", before={"mobile": "1"})
    items.entry(ann, 8, Action.UNLINKED)
    html = page(owner, ann)
    assert html.index("?visit=8") < html.index("?visit=7")
    assert "<div>Tasks: item created <b>2</b></div>" in html
    assert "My illness" not in html  # of no visit yet
    html = page(owner, ann, visit="7")
    assert "My illness" in html
    assert "record changed: mobile phone" in html
    assert "unlinked" not in html.partition('id="entries"')[2]


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30, "404"])
def test_a_visit_that_is_none_has_no_entries(owner, ann, number):
    assert 'id="entries"' not in page(owner, ann, visit=number)


def test_the_pages_of_a_mailbox_lead_to_each_other(staff, ann):
    alerts.ask(ann.pk, alerts.MASS_DELETION, "12 of 20", direction=alerts.ITEMS)
    html = staff.get(reverse("mailbox", args=[ann.pk])).text
    assert html.count(f'href="/mailboxes/{ann.pk}/items/"') == 2  # from the question, too
    assert f'href="/mailboxes/{ann.pk}/"' in page(staff, ann)


# --- Whose eyes -----------------------------------------------------------------------------------


def test_subjects_and_values_are_for_the_owner_only(staff, ann):
    items.conflict(ann, items.task(ann))
    items.conflict(ann, items.task(ann), name="attendee:eve@x.test", crm="required", exchange=None)
    items.failed(ann)
    items.entry(ann, 7, Action.CREATED_ITEM)
    html = page(staff, ann, visit="7")
    hidden = ("My illness", "Call Ash", "Call Carla", "eve@x.test", "required")
    assert not [one for one in hidden if one in html]
    assert "Attendee ***" in html
    assert html.count("***") >= 5
    assert "The server refuses the due date." in html


def test_an_administrator_without_the_right_to_change_looks_only(ann):
    viewer = User.objects.create_user("viewer", is_staff=True)
    items.progress(ann)
    items.conflict(ann, items.task(ann))
    items.entry(ann, 7, Action.CREATED_ITEM)
    html = page(logged_in(viewer), ann)
    assert "<button name=" not in html.partition("<main>")[2]
    given = {"question": "first_synchronization", "answer": "yes"}
    assert press(logged_in(viewer), ann, "answer", **given).status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="change_mailbox"))
    assert press(logged_in(viewer), ann, "answer", **given).status_code == 200
    assert ItemProgress.objects.get().first == ItemProgress.First.AGREED


def test_others_neither_see_it_nor_learn_which_mailboxes_there_are(ann):
    browser = logged_in(factories.user("eve@example.test"))
    for number in (ann.pk, 99999):
        assert browser.get(reverse("items", args=[number])).status_code == 403
    assert press(browser, ann, "retry").status_code == 403
    assert press(Client(), ann, "retry").redirect_chain[0][0].startswith("/login/")


def test_a_mailbox_that_is_not_there_is_not_found(staff):
    assert staff.get(reverse("items", args=[99999])).status_code == 404


def test_who_takes_a_mailbox_over_learns_nothing_of_its_former_owners_items(owner, ann):
    items.conflict(ann, items.task(ann))
    items.failed(ann)
    items.entry(ann, 7, Action.CREATED_ITEM)
    items.progress(ann, first=ItemProgress.First.DONE)
    heir = factories.user("heir@example.test")
    administration.map_mailbox(ann, heir, take_over=True)
    assert owner.get(reverse("items", args=[ann.pk])).status_code == 403
    html = page(logged_in(heir), ann, visit=7)
    assert not [one for one in ("My illness", "Call Ash", "Call Carla") if one in html]
    assert html.count("not yet looked at") == 3


def test_what_is_another_mailbox_on_the_server_has_no_conflicts(ann):
    items.conflict(ann, items.task(ann))
    kept = items.conflict(bob := items.mailbox("bob@example.test"), items.task(bob))
    schedule.begin_anew([ann.pk])
    connection.check_constraints()
    assert ItemConflict.objects.get() == kept


def test_nothing_is_done_by_a_link_or_a_form_of_another_site(ann):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(items.user_of(ann))
    url = reverse("act_on_items", args=[ann.pk])
    assert browser.get(url).status_code == 405
    assert browser.post(url, {"action": "retry"}).status_code == 403


def test_it_has_nothing_inline_and_no_cache_keeps_it(owner, ann):
    response = owner.get(reverse("items", args=[ann.pk]))
    assert "style=" not in response.text
    assert "no-store" in response.headers["Cache-Control"]


# --- Answering ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "first"), [("yes", "agreed"), ("no", "declined")])
def test_the_first_synchronization_is_begun_or_left(owner, ann, word, first):
    items.progress(ann)
    alerts.ask(ann.pk, alerts.FIRST_SYNCHRONIZATION, "much", direction=alerts.ITEMS)
    given = {"question": "first_synchronization", "answer": word}
    html = press(owner, ann, "answer", **given).text
    assert "Answered; the next visit obeys." in html
    assert "Much would be created" not in html
    asked = ItemProgress.objects.get()
    assert (asked.first, asked.answered_by) == (first, items.user_of(ann).username)
    assert Alert.objects.get().answer is (word == "yes")
    assert items.is_woken(ann)
    assert "Nothing of that sort is asked" in press(owner, ann, "answer", **given).text


@pytest.mark.parametrize("question", ["mass_deletion", "scheduling_conflict"])
def test_a_question_about_items_is_answered_without_an_alert_too(owner, ann, question):
    items.link(ann, question=question)
    items.link(ann, question=question)
    assert "It is about 2 items." in page(owner, ann)
    press(owner, ann, "answer", question=question, answer="no")
    assert [*ItemLink.objects.values_list("answer", flat=True)] == [False, False]
    assert ChangeRecord.objects.filter(action="question.answered").count() == 1


def kim(box: Mailbox, **fields) -> Contact:
    facts = {"first_name": "Kim", "last_name": "Karst", "email_address": "kim@x.test"}
    return Contact.objects.create(owner=items.user_of(box), **facts | fields)


def test_a_contact_that_the_crm_may_have_is_shown_with_those_that_are_like_it(owner, ann):
    records = [kim(ann), kim(ann, email_address="", is_active=True)]
    items.duplicate(ann, *records)
    html = page(owner, ann)
    assert "Secret Friend" in html
    assert html.count("the same name") == html.count("Join with it") == 2
    assert "kim@x.test" in html
    assert f'value="{records[1].key}"' in html
    records[1].delete()
    assert page(owner, ann).count("Join with it") == 1


def test_somebody_says_which_record_a_contact_is(owner, ann):
    records = [kim(ann), kim(ann)]
    link = items.duplicate(ann, *records)
    alerts.tell_of_duplicates(ann.pk)
    given = {"item": link.pk, "record": str(records[1].key)}
    html = press(owner, ann, "decide", **given).text
    assert "Answered; the next visit obeys." in html
    assert "Secret Friend" not in html
    link.refresh_from_db()
    assert (link.answer, link.chosen) == (False, records[1].key)
    assert items.is_woken(ann)
    assert not Alert.objects.filter(ended_at=None).exists()
    assert "Nothing is asked of contact" in press(owner, ann, "decide", **given).text


def test_a_contact_is_made_a_record_all_the_same(owner, ann):
    link = items.duplicate(ann, kim(ann))
    other = items.duplicate(ann, kim(ann))
    press(owner, ann, "decide", item=link.pk, record="")
    link.refresh_from_db()
    assert (link.answer, link.chosen) == (True, None)
    press(owner, ann, "answer", question="duplicate_contact", answer="yes")
    other.refresh_from_db()
    assert other.answer is True


def test_who_a_contact_may_be_is_for_those_who_decide(staff, ann):
    items.duplicate(ann, kim(ann))
    html = page(staff, ann)
    assert ("Secret Friend" in html, "kim@x.test" in html) == (False, True)
    html = page(logged_in(User.objects.create_user("viewer", is_staff=True)), ann)
    assert not [one for one in ("Secret Friend", "kim@x.test", "Karst", "Join with") if one in html]


def test_many_contacts_are_cut(owner, ann, monkeypatch):
    monkeypatch.setattr(item_views, "DUPLICATES_SHOWN", 1)
    for _ in range(2):
        items.duplicate(ann, kim(ann))
    html = page(owner, ann)
    assert html.count("Make a new record") == 1
    assert "“syncservice items duplicates” shows more" in html


def test_items_of_another_organisation_are_asked_about_and_may_be_taken_over_later(owner, ann):
    progress = items.progress(ann, plan=items.PLAN | {"linked_elsewhere": 3})
    html = page(owner, ann)
    assert "kept in step by another organisation: take them over?" in html
    assert "It is about 3 items." in html
    assert 'data-label="Of another organisation">3</td>' in html
    html = press(owner, ann, "answer", question="linked_elsewhere", answer="no").text
    assert "3 items are another organisation" in html
    assert "take them over?" not in html
    alerts.ask(ann.pk, alerts.FIRST_SYNCHRONIZATION, "much", direction=alerts.ITEMS)
    html = press(owner, ann, "answer", question="linked_elsewhere", answer="yes").text
    assert "Take over" not in html
    progress.refresh_from_db()
    assert (progress.elsewhere, progress.first) == ("wanted", "new")
    assert not Alert.objects.filter(ended_at=None).exists()


def test_a_declined_synchronization_is_looked_at_anew(owner, ann):
    items.progress(ann, first=ItemProgress.First.DECLINED)
    assert "Look anew" in page(owner, ann)
    html = press(owner, ann, "look-anew").text
    assert "The next visit looks at it anew" in html
    assert "Look anew" not in html
    assert items.is_woken(ann)
    assert "No first synchronization of" in press(owner, ann, "look-anew").text


@pytest.mark.parametrize(("action", "given"), [
    ("delete", {}),
    ("answer", {}),
    ("answer", {"question": "mass_deletion", "answer": "perhaps"}),
    ("answer", {"question": "why", "answer": "yes"}),
    ("undo", {"visit": "x"}),
    ("reverse", {"conflict": ""}),
    ("decide", {"item": "1"}),
    ("decide", {"item": "x", "record": ""}),
    ("decide", {"item": "1", "record": "x"}),
])  # fmt: skip
def test_what_no_button_sends_is_refused(owner, ann, action, given):
    assert press(owner, ann, action, **given).status_code == 400


# --- Trying again ---------------------------------------------------------------------------------


def test_what_failed_is_tried_again(owner, ann):
    refused = {"state": State.REFUSED, "question": "scheduling_conflict", "answer": False}
    items.failed(ann, **refused)
    items.failed(ann, **refused, base={"crm": {}, "exchange": {}})
    items.failed(ann, due_at=items.FOREVER)
    others = items.failed(items.mailbox("bob@example.test"))
    assert "3 items are tried again." in press(owner, ann, "retry").text
    links = ItemLink.objects.filter(mailbox=ann).order_by("pk")
    assert [link.state for link in links] == [State.WANTED, State.LINKED, State.LINKED]
    assert {(one.attempts, one.fault_code, one.question, one.answer) for one in links} == {
        (0, "", "", None)
    }
    assert all(link.due_at < timezone.now() for link in links)
    assert items.is_woken(ann)
    others.refresh_from_db()
    assert (others.attempts, others.due_at) == (5, None)


def test_a_question_that_is_open_stays_so(owner, ann):
    link = items.failed(ann, question="mass_deletion", answer=True)
    press(owner, ann, "retry")
    link.refresh_from_db()
    assert (link.question, link.answer) == ("mass_deletion", True)


def test_what_waits_for_an_answer_goes_on_waiting(owner, ann):
    link = items.failed(ann, question="mass_deletion", due_at=None)
    assert "0 items are tried again." in press(owner, ann, "retry").text
    link.refresh_from_db()
    assert (link.due_at, link.attempts) == (None, 5)


# --- Reversing ------------------------------------------------------------------------------------


def test_a_conflict_is_reversed_once(owner, ann):
    record = items.task(ann)
    conflict = items.conflict(ann, record)
    html = press(owner, ann, "reverse", conflict=conflict.pk).text
    record.refresh_from_db()
    assert record.subject == "Call Ash"
    assert f"reversed by {items.user_of(ann).username}" in html
    assert items.is_woken(ann)
    assert ChangeRecord.objects.get(action="conflict.reversed").facts == {"conflict": conflict.pk}
    again = press(owner, ann, "reverse", conflict=conflict.pk).text
    assert "It was reversed already." in again


def test_what_was_changed_since_is_not_reversed(owner, ann):
    record = items.task(ann)
    conflict = items.conflict(ann, record)
    record.subject = "Call nobody"
    record.save()
    html = press(owner, ann, "reverse", conflict=conflict.pk).text
    assert "It was changed since; change the record itself." in html
    record.refresh_from_db()
    conflict.refresh_from_db()
    assert (record.subject, conflict.reversed_at) == ("Call nobody", None)


def test_the_conflict_of_a_record_that_is_gone_is_not_reversed(owner, ann):
    record = items.task(ann)
    conflict = items.conflict(ann, record)
    record.delete()
    assert "The record is gone." in press(owner, ann, "reverse", conflict=conflict.pk).text


def test_the_conflict_of_another_mailbox_is_not_found(owner, ann):
    bob = items.mailbox("bob@example.test")
    conflict = items.conflict(bob, items.task(bob))
    assert press(owner, ann, "reverse", conflict=conflict.pk).status_code == 404
    conflict.refresh_from_db()
    assert conflict.reversed_at is None


# --- Undoing --------------------------------------------------------------------------------------


def test_a_visit_is_undone_by_the_next_and_what_came_of_it_is_told(owner, ann):
    user = items.user_of(ann)
    changed = Contact.objects.create(last_name="Ash", mobile_phone="2", owner=user)
    since = Contact.objects.create(last_name="Elm", mobile_phone="3", owner=user)
    for record in (changed, since):
        items.entry(
            ann, 7, Action.CHANGED_RECORD, kind=ItemKind.CONTACT, key=record.key,
            before={"mobile": "1"}, after={"mobile": "2"},
        )  # fmt: skip
    html = press(owner, ann, "undo", visit=7).text
    assert "asked for; the next visit does it" in html
    assert items.is_woken(ann)
    assert "was asked to be undone before" in press(owner, ann, "undo", visit=7).text
    undo_now(ann, ItemKind.CONTACT)
    html = page(owner, ann, visit="7")
    assert "asked for; the next visit does it" not in html
    assert "one undone" in html
    assert "one could not be undone" in html
    assert "it was changed since; it is left as it is" in html
    for record in (changed, since):
        record.refresh_from_db()
    assert (changed.mobile_phone, since.mobile_phone) == ("1", "3")


def test_a_visit_that_is_not_in_the_journal_is_not_undone(owner, ann):
    bob = items.mailbox("bob@example.test")
    items.entry(bob, 7, Action.CREATED_ITEM)
    assert "Visit 7 of ann@example.test is not in the" in press(owner, ann, "undo", visit=7).text
    assert JournalEntry.objects.get().undo_asked_at is None


# --- Words ----------------------------------------------------------------------------------------


def test_every_value_has_a_name_for_people():
    names = {name for values in VALUES.values() for name in values}
    assert names - {*item_wording._NAMES} == set()


@pytest.mark.parametrize(("value", "text"), [
    (None, ""),
    ("", ""),
    ("a\nb", "a\nb"),
    (50, "50"),
    ({"first": "Ann", "middle": "", "last": "Ash"}, "Ann, Ash"),
    ([{"address": "a@x.test", "name": "Ann"}, {"address": "b@x.test", "name": ""}],
     "Ann <a@x.test>, b@x.test"),
    ({"start": "2026-03-02T09:00:00Z", "end": "2026-03-02T10:00:00Z", "all_day": False,
      "zone": "Europe/Berlin"}, "2026-03-02 10:00 – 11:00 (Europe/Berlin)"),
    ({"start": "2026-03-01T23:00:00Z", "end": "2026-03-02T23:00:00Z", "all_day": True,
      "zone": "Europe/Berlin"}, "2026-03-02 – 2026-03-03 (Europe/Berlin)"),
    ({"start": "2026-03-02T09:00:00Z", "end": "2026-03-03T10:00:00Z", "all_day": False,
      "zone": ""}, "2026-03-02 09:00 – 2026-03-03 10:00 (UTC)"),
    ({"pattern": "weekly", "interval": 2, "weekdays": ["monday"], "starts_on": "2026-03-02",
      "count": 10}, "weekly (1/2) monday, 2026-03-02 – 10×"),
    ({"time": None, "recurrence": {"pattern": "daily", "interval": 1, "starts_on": "2026-03-02"}},
     "daily, 2026-03-02 –"),
    ("deleted", ""),
])  # fmt: skip
def test_a_value_is_said_in_words(value, text):
    assert item_wording.text_of(value) == text


@pytest.mark.parametrize(("name", "value", "text"), [
    ("show_as", "out_of_office", "out of office"),
    ("status", "waiting", "waiting for someone else"),
    ("attendee:ann@x.test", "required", "required attendee"),
    ("attendee:ann@x.test", None, ""),
    ("subject", "waiting", "waiting"),
])  # fmt: skip
def test_a_code_is_said_in_words_and_a_text_as_it_is(name, value, text):
    assert item_wording.text_of(value, name) == text


@pytest.mark.parametrize(("name", "text"), [
    ("mobile", "mobile phone"),
    ("attendee:ann@x.test", "attendee ann@x.test"),
    ("occurrence:2026-03-02", "occurrence of 2026-03-02"),
])  # fmt: skip
def test_a_value_has_a_name(name, text):
    assert item_wording.name_of(name) == text


def test_the_page_is_dutch_for_a_dutch_reader(owner, ann):
    items.progress(ann)
    owner.post(reverse("set_language"), {"language": "nl"})
    html = page(owner, ann)
    assert "Afspraken, contactpersonen en taken" in html
    assert "Opnieuw bekijken" in html
    assert "Ja</button>" in html


# --- The administration ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["itemlink", "itemconflict", "journalentry", "fieldsetting"])
def test_the_administration_shows_rows_but_no_subject_and_no_value(staff, ann, name):
    conflict = items.conflict(ann, items.task(ann))
    entry = items.entry(ann, 7, Action.CHANGED_RECORD, before={"subject": "Call Ash"})
    setting = FieldSetting.objects.create(mapping="task.due", direction="NONE")
    key = {
        "itemlink": conflict.link.pk, "itemconflict": conflict.pk, "journalentry": entry.pk,
        "fieldsetting": setting.pk,
    }[name]  # fmt: skip
    listed = staff.get(reverse(f"admin:mailboxes_{name}_changelist"))
    shown = staff.get(reverse(f"admin:mailboxes_{name}_change", args=[key]))
    for response in (listed, shown):
        assert response.status_code == 200
        assert not [one for one in ("My illness", "Call Ash") if one in response.text]
    assert staff.get(reverse(f"admin:mailboxes_{name}_add")).status_code == 403
