"""The overview: each mailbox, its state, its next visit and why."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from syncservice.alerts.models import ItemFailure
from syncservice.alerts.overview import State, overview
from syncservice.console import standing, views
from syncservice.mailboxes import directions, schedule
from syncservice.mailboxes.directions import Kind
from syncservice.mailboxes.models import Schedule
from tests import factories
from tests.console import records
from tests.memory_gateway import fault

pytestmark = pytest.mark.django_db


def planned(**fields):
    box = factories.mailbox(email_address=fields.pop("email_address", "ann@example.test"))
    Schedule.objects.filter(mailbox=box).update(**fields)
    return box


def in_every_state():
    soon = timezone.now() + timedelta(minutes=3)
    planned(email_address="new@example.test")
    planned(email_address="resting@example.test", visited_at=Now(), due_at=soon)
    planned(email_address="failing@example.test", fault_code="x", fault_text="Oh.", due_at=soon)
    planned(email_address="visiting@example.test", claimed_at=Now(), fault_code="x", due_at=soon)
    planned(email_address="parked@example.test", parked_at=Now(), due_at=None)
    stopped = planned(email_address="stopped@example.test")
    directions.disable_by_fault(stopped.pk, Kind.INCOMING, fault(), is_probed=False)
    box = planned(email_address="disabled@example.test", fault_code="x")
    box.is_active = False
    box.save()
    schedule.plan([box.pk])


def test_a_mailbox_shows_its_next_visit_and_why(staff):
    planned(
        visited_at=timezone.now() - timedelta(minutes=4),
        due_at=timezone.now() + timedelta(minutes=3, seconds=30),
        reason="2 empty visits in a row",
    )
    html = staff.get(reverse("overview")).text
    assert "ann@example.test" in html
    assert ">in 3 min</time>" in html
    assert "— 2 empty visits in a row" in html
    assert ">4 min ago</time>" in html
    assert "up to date" in html


def test_an_overdue_visit_is_due_now_and_not_in_the_past(staff):
    planned(due_at=timezone.now() - timedelta(minutes=5))
    assert ">due now</time>" in staff.get(reverse("overview")).text


def test_the_end_of_a_lease_is_not_shown_as_the_next_visit(staff):
    planned(claimed_at=Now(), due_at=timezone.now() + timedelta(minutes=5))
    html = staff.get(reverse("overview")).text
    assert "being visited now" in html
    assert "in 4 min" not in html


def test_a_failing_mailbox_says_what_to_do_about_it(staff):
    planned(fault_code="exchange.access_denied", fault_text="Check the <password>.")
    html = staff.get(reverse("overview")).text
    assert "Check the &lt;password&gt;." in html
    assert "failing" in html


def test_failures_are_counted_and_linked(staff):
    box = planned()
    for state in ItemFailure.State:
        ItemFailure.objects.create(mailbox=box, item_id=state, code="c", reason="r", state=state)
    html = staff.get(reverse("overview")).text
    assert f'href="/mailboxes/{box.pk}/#failures">2</a>' in html


def test_emails_are_counted(staff):
    box = planned()
    for _ in range(3):
        records.email(box)
    response = staff.get(reverse("overview"))
    assert response.context["totals"].emails == 3
    assert '<td class="number" data-label="Emails">3</td>' in response.text


def test_the_console_and_the_overview_call_a_state_by_one_name():
    in_every_state()
    told = {status.mailbox_id: status.state for status in overview()}
    assert set(told.values()) == set(State)
    boxes = Schedule.objects.select_related("mailbox")
    assert {row.mailbox_id: standing.state_of(row.mailbox) for row in boxes} == told
    assert dict(standing.totals().states) == dict.fromkeys(State, 1)


def test_a_mailbox_without_a_schedule_is_counted_as_disabled():
    box = planned()
    box.schedules.all().delete()
    assert standing.totals().states == [(State.DISABLED, 1)]
    assert overview()[0].state == State.DISABLED


def test_every_state_has_an_icon_and_a_word_besides_its_colour(staff):
    in_every_state()
    html = staff.get(reverse("overview")).text
    for state in State:
        name = state.name.lower()
        assert f'<symbol id="{name}"' in html
        assert f'<use href="#{name}"/></svg>{state.value}</span>' in html


def test_many_mailboxes_are_paged(staff, monkeypatch):
    monkeypatch.setattr(views, "MAILBOXES_A_PAGE", 2)
    for letter in "abc":
        planned(email_address=f"{letter}@example.test")
    first, second = (staff.get(f"/?page={page}").text for page in (1, 2))
    assert "a@example.test" in first
    assert "page 1 of 2" in first
    assert "c@example.test" not in first
    assert "c@example.test" in second


@pytest.mark.parametrize("page", ["99", "0", "-1", "x", "'", "9" * 30])
def test_an_odd_page_number_is_no_error(staff, page):
    assert staff.get(reverse("overview"), {"page": page}).status_code == 200


def test_an_empty_service_says_how_to_begin(staff):
    html = staff.get(reverse("overview")).text
    assert "No mailbox yet." in html
    assert reverse("admin:mailboxes_emailserverprofile_add") in html


def test_the_overview_renews_itself_with_and_without_javascript(staff):
    html = staff.get(reverse("overview")).text
    assert f'data-renew-seconds="{views.REFRESH_SECONDS}"' in html
    assert '<noscript><meta http-equiv="refresh"' in html


def test_one_page_takes_few_queries_however_many_mailboxes(staff, django_assert_max_num_queries):
    for number in range(20):
        planned(email_address=f"box{number}@example.test")
    with django_assert_max_num_queries(8):
        staff.get(reverse("overview"))
