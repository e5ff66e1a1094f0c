"""One mailbox: its schedule in words, its failures, emails and visits."""

from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from syncservice.alerts.catalogue import entry_of
from syncservice.alerts.models import ItemFailure
from syncservice.console import views
from syncservice.mailboxes.models import RemoteItem, Schedule, VisitStatistics
from tests import factories
from tests.console import records

pytestmark = pytest.mark.django_db


@pytest.fixture
def box():
    return factories.mailbox(email_address="ann@example.test")


def page(staff, box, **query):
    return staff.get(reverse("mailbox", args=[box.pk]), query).text


def test_it_says_why_the_mailbox_is_due_then(staff, box):
    Schedule.objects.update(
        due_at=datetime(2100, 1, 1, 14, 7, tzinfo=UTC),
        visited_at=timezone.now(),
        rest=timedelta(minutes=7),
        reason="2 empty visits in a row",
    )
    html = page(staff, box)
    assert ">14:07:00 UTC</time>" in html
    assert "after a rest of 7 min: 2 empty visits in a row." in html


def test_a_mailbox_that_is_switched_off_says_so(staff, box):
    Schedule.objects.update(due_at=None)
    assert "This mailbox is not visited" in page(staff, box)


def test_a_visit_shows_when_its_claim_ends(staff, box):
    Schedule.objects.update(
        claimed_at=timezone.now(), due_at=datetime(2100, 1, 1, 14, 12, tzinfo=UTC)
    )
    html = page(staff, box)
    assert "A visit began at" in html
    assert ">14:12:00 UTC</time>" in html


def test_a_fault_is_told_with_its_code(staff, box):
    Schedule.objects.update(fault_code="exchange.busy", fault_text="Exchange is busy.", failures=3)
    html = page(staff, box)
    assert "Exchange is busy." in html
    assert "exchange.busy" in html


def test_what_a_code_means_is_said_in_the_readers_language(staff, box):
    Schedule.objects.update(fault_code="exchange.access_denied", fault_text="No.", failures=3)
    staff.post(reverse("set_language"), {"language": "nl"})
    with translation.override("nl"):
        expected = str(entry_of("exchange.access_denied").meaning)
    assert expected in unescape(page(staff, box))
    assert expected in unescape(staff.get(reverse("overview")).text)


def test_a_certificate_that_is_not_verified_is_visible(staff):
    box = factories.mailbox(profile=factories.profile(verify_tls=False))
    assert "certificate is not verified" in page(staff, box).replace("&#x27;", "'")


def test_a_failure_shows_reason_attempts_and_state(staff, box):
    ItemFailure.objects.create(
        mailbox=box, item_id="1", code="email.unreadable", reason="No header.", attempts=4,
        state=ItemFailure.State.RETRYING,
    )  # fmt: skip
    html = page(staff, box)
    assert "No header." in html
    assert "email.unreadable" in html
    assert "will be tried again" in html
    assert 'data-label="Attempts">4</td>' in html


def test_an_email_that_two_items_brought_is_listed_once(staff, box):
    record = records.email(box, subject="Only one of me")
    RemoteItem.objects.create(mailbox=box, item_id="moved", email=record)
    assert page(staff, box).count("Only one of me") == 1


def test_the_emails_of_others_are_not_listed(staff, box):
    records.email(factories.mailbox(), subject="Somebody else's")
    assert "Somebody else" not in page(staff, box)


def test_emails_are_paged_the_newest_first(staff, box, monkeypatch):
    monkeypatch.setattr(views, "EMAILS_A_PAGE", 2)
    for days in (3, 1, 2):
        records.email(
            box,
            subject=f"{days} days old",
            received_at=timezone.now() - timedelta(days=days),
        )
    first, second = page(staff, box), page(staff, box, page=2)
    assert first.index("1 days old") < first.index("2 days old")
    assert "3 days old" not in first
    assert "3 days old" in second


def test_the_last_visits_tell_what_they_did(staff, box):
    VisitStatistics.objects.create(
        mailbox=box, lane="incoming", fence=1, seconds=2.5, requests=7, pages=2, stored=41,
        linked=0, failed=0, more_left=True, machine="worker-9",
        rest=timedelta(minutes=2), reason="more mail is waiting than one visit takes",
    )  # fmt: skip
    html = page(staff, box)
    assert 'data-label="New emails">41</td>' in html
    assert "2.5 s" in html
    assert "more mail was left" in html
    assert "more mail is waiting than one visit takes" in html
    assert "worker-9" in html


def test_no_password_is_read_for_the_page(staff, box, settings):
    settings.CREDENTIAL_KEYS = ["cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="]  # the key is lost
    assert staff.get(reverse("mailbox", args=[box.pk])).status_code == 200
