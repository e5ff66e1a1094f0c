"""Alerts: who sees which, what repeats and switches do, questions, retention (4A, 4C)."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, Permission
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from syncservice.alerts import alerts, item_failures, watch
from syncservice.alerts.models import Alert, ItemFailure, Severity
from syncservice.crm.models import User
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import (
    ChangeRecord,
    DeclinedItem,
    EmailServerProfile,
    Mailbox,
    Schedule,
)
from tests import factories
from workers import async_operations

pytestmark = pytest.mark.django_db

W, E, I = Severity.WARNING, Severity.ERROR, Severity.INFORMATION  # noqa: E741


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("postmaster", "postmaster@example.test")


@pytest.fixture
def box(owner) -> Mailbox:
    return factories.mailbox(profile=factories.profile(owner=owner))


@pytest.fixture
def people(box, owner) -> dict[str, User]:
    neighbour = factories.mailbox(profile=box.profile)
    administrator = User.objects.create_user("admin", "admin@example.test")
    every = Permission.objects.get(codename="view_every_alert")
    administrator.user_permissions.add(every)
    return {
        "mailbox's owner": administration.owner_of(box),
        "profile's owner": owner,
        "neighbour": administration.owner_of(neighbour),
        "stranger": administration.owner_of(factories.mailbox()),
        "administrator": administrator,
    }


def audience(people: dict[str, User]) -> set[str]:
    return {
        who
        for who, user in people.items()
        if Alert.objects.filter(alerts.visible_to(user)).exists()
    }


def raise_mailbox(box: Mailbox) -> None:
    alerts.raise_for_mailbox(box.pk, W, "visit.timed_out", direction="incoming")


def raise_profile(box: Mailbox) -> None:
    alerts.raise_for_profile(box.profile, E, alerts.LOGIN_REFUSED)


def raise_test(box: Mailbox) -> None:
    alerts.raise_for_mailbox(box.pk, E, "test.failed", direction="outgoing")


def ask(box: Mailbox) -> None:
    alerts.ask(box.pk, alerts.OTHER_ORGANISATION, "another", direction="act")


@pytest.mark.parametrize(
    ("raises", "tells_owners", "who"),
    [
        (raise_mailbox, True, {"mailbox's owner", "administrator"}),
        (raise_profile, False, {"profile's owner", "administrator"}),
        (raise_profile, True, {"profile's owner", "mailbox's owner", "neighbour", "administrator"}),
        (raise_test, True, {"mailbox's owner", "profile's owner", "administrator"}),
        (ask, True, {"mailbox's owner", "administrator"}),
    ],
)
def test_who_sees_what(box, people, raises, tells_owners, who):
    administration.change_organisation("tests", notifies_mailbox_owners=tells_owners)
    raises(box)
    assert audience(people) == who
    assert not Alert.objects.filter(alerts.visible_to(AnonymousUser())).exists()


def test_a_repeat_is_one_row_that_counts_and_says_what_was_said_last(box):
    for text in ("first", "second", "third"):
        alerts.raise_for_mailbox(box.pk, W, "visit.timed_out", text, direction="incoming")
    alert = Alert.objects.get()
    assert (alert.count, alert.text) == (3, "third")
    assert alert.last_seen_at > alert.first_seen_at


def test_directions_codes_and_levels_are_told_apart(box):
    for direction, severity in (("incoming", W), ("outgoing", W), ("incoming", E)):
        alerts.raise_for_mailbox(box.pk, severity, "visit.timed_out", direction=direction)
    assert Alert.objects.count() == 3


@pytest.mark.parametrize(
    ("switch", "severity"), [("errors", E), ("warnings", W), ("information", I)]
)
def test_a_level_that_is_switched_off_is_not_generated_and_questions_always_are(
    box, switch, severity
):
    administration.change_organisation("tests", **{f"alerts_{switch}": False})
    for level in (E, W, I):
        alerts.raise_for_mailbox(box.pk, level, "visit.timed_out")
    assert severity not in Alert.objects.values_list("severity", flat=True)
    assert Alert.objects.count() == 2
    ask(box)
    assert Alert.objects.filter(is_question=True).exists()


def test_a_dismissed_alert_comes_back_when_its_trouble_does(box):
    raise_mailbox(box)
    assert alerts.dismiss([Alert.objects.get().pk], "ann") == 1
    assert ChangeRecord.objects.get(action="alert.dismissed").actor == "ann"
    raise_mailbox(box)
    assert Alert.objects.filter(ended_at=None).get().count == 1


def test_a_question_is_answered_once_and_never_dismissed(box):
    ask(box)
    question = Alert.objects.get()
    assert alerts.dismiss([question.pk], "ann") == 0
    alerts.answer(question.pk, True, "ann")
    with pytest.raises(alerts.NoQuestion, match="asks nothing, or is answered"):
        alerts.answer(question.pk, False, "bob")
    question.refresh_from_db()
    assert (question.answer, question.answered_by) == (True, "ann")


@pytest.mark.django_db(transaction=True)  # a task begins with a connection of its own
def test_what_ended_is_kept_for_a_while_and_what_holds_for_ever(box, settings):
    settings.ALERT_DAYS = 10
    raise_mailbox(box)
    raise_profile(box)
    old = Now() - timedelta(days=11)
    Alert.objects.update(first_seen_at=old, last_seen_at=old)
    Alert.objects.filter(mailbox=box).update(ended_at=old)
    async_operations.apply_retention()
    assert Alert.objects.get().code == alerts.LOGIN_REFUSED


def test_more_than_half_of_the_mailboxes_failing_is_news_and_half_is_not(box):
    three = [box, *(factories.mailbox(profile=box.profile) for _ in range(3))]
    Schedule.objects.update(due_at=Now() + timedelta(minutes=5), visited_at=Now())
    failing = Schedule.objects.filter(mailbox__in=three[:2])
    failing.update(fault_code="exchange.server_busy")
    watch.watch_profiles()
    assert not Alert.objects.exists()
    Schedule.objects.filter(mailbox=three[2]).update(fault_code="exchange.server_busy")
    watch.watch_profiles()
    assert Alert.objects.get().text == "3 of 4 mailboxes failed within an hour"
    Schedule.objects.update(visited_at=Now() - timedelta(minutes=61))
    watch.watch_profiles()
    assert not Alert.objects.filter(ended_at=None).exists()


def test_a_profile_at_exchange_online_is_warned_of_and_reminded_after_a_month(box):
    factories.profile(location="https://outlook.office365.com/EWS/Exchange.asmx")
    for _ in range(3):
        watch.warn_of_exchange_online()
    alert = Alert.objects.get()
    assert (alert.code, alert.severity, alert.count) == (alerts.EXCHANGE_ONLINE, W, 1)
    alerts.dismiss([alert.pk], "ann")
    watch.warn_of_exchange_online()
    assert Alert.objects.count() == 1
    Alert.objects.update(last_seen_at=Now() - timedelta(days=31))
    watch.warn_of_exchange_online()
    assert Alert.objects.filter(ended_at=None).count() == 1


# --- item failures --------------------------------------------------------------------------------


@pytest.fixture
def failure(box) -> ItemFailure:
    return ItemFailure.objects.create(
        mailbox=box, item_id="1", subject="Salary", code="email.unreadable", reason="no form",
        state=ItemFailure.State.GIVEN_UP, attempts=5,
    )  # fmt: skip


def test_a_failure_that_is_retried_is_tried_as_often_as_a_new_one_and_at_once(box, failure):
    Schedule.objects.update(due_at=Now() + timedelta(minutes=9))
    assert item_failures.retry([failure.pk]) == 1
    failure.refresh_from_db()
    assert (failure.state, failure.attempts) == ("retrying", 0)
    assert Schedule.objects.filter(mailbox=box, due_at__lte=Now()).exists()


@pytest.mark.django_db(transaction=True)  # a task begins with a connection of its own
def test_a_dismissed_failure_is_on_no_list_and_ends_with_its_time(failure, settings):
    settings.ITEM_FAILURE_DAYS = 10
    assert item_failures.dismiss([failure.pk]) == 1
    assert item_failures.dismiss([failure.pk]) == 0
    ItemFailure.objects.update(last_seen_at=Now() - timedelta(days=11))
    async_operations.apply_retention()
    assert not ItemFailure.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_over_pop3_a_dismissed_failure_stays_while_its_message_is_listed(failure, settings):
    """Else it would fail again."""
    settings.ITEM_FAILURE_DAYS = 10
    EmailServerProfile.objects.update(server_type=EmailServerProfile.ServerType.POP3_SMTP)
    item_failures.dismiss([failure.pk])
    for state, kept in ((ItemFailure.State.DISMISSED, 1), (ItemFailure.State.GONE, 0)):
        ItemFailure.objects.update(last_seen_at=Now() - timedelta(days=11), state=state)
        async_operations.apply_retention()
        assert ItemFailure.objects.count() == kept


@pytest.mark.django_db(transaction=True)
def test_over_pop3_a_decision_stays_while_its_message_is_listed(failure, settings):
    settings.DECLINED_DAYS = 10
    EmailServerProfile.objects.update(server_type=EmailServerProfile.ServerType.POP3_SMTP)
    for item_id, left_at in (("here", None), ("left", Now())):
        DeclinedItem.objects.create(
            mailbox=failure.mailbox, item_id=item_id, reason=DeclinedItem.Why.NONE_WANTED,
            left_at=left_at, declined_at=Now() - timedelta(days=11),
        )  # fmt: skip
    async_operations.apply_retention()
    assert [item.item_id for item in DeclinedItem.objects.all()] == ["here"]


def test_an_administrator_sees_that_a_message_failed_and_not_its_subject(failure, admin_client):
    page = admin_client.get("/admin/alerts/itemfailure/").content.decode()
    assert "no form" in page
    assert "Salary" not in page
    assert (
        "Salary"
        not in admin_client.get(f"/admin/alerts/itemfailure/{failure.pk}/change/").content.decode()
    )


def old_alerts(box, number):
    """Make alerts that are over for so long, an hour apart, two of them at the same moment."""
    long_ago = timezone.now() - timedelta(days=90)
    Alert.objects.bulk_create(
        Alert(
            mailbox=box, severity=W, code=f"a.{n}", ended_at=long_ago + timedelta(hours=n // 2)
        )
        for n in range(number)
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_old_rows_are_deleted_some_at_a_time(box, monkeypatch):
    monkeypatch.setattr(async_operations, "TIDIED_AT_ONCE", 9)
    old_alerts(box, 25)
    raise_mailbox(box)
    with CaptureQueriesContext(connection) as executed:
        async_operations.apply_retention()
    assert [alert.code for alert in Alert.objects.all()] == ["visit.timed_out"]
    beginning = 'DELETE FROM "alerts_alert'
    assert sum(one["sql"].startswith(beginning) for one in executed) == 4  # 10, 10, 5 and none


@pytest.mark.django_db(transaction=True)
def test_what_is_too_much_for_one_run_the_next_deletes(box, monkeypatch):
    monkeypatch.setattr(async_operations, "TIDYING_SECONDS", -1)
    old_alerts(box, 3)
    async_operations.apply_retention()
    assert Alert.objects.count() == 3
    monkeypatch.undo()
    async_operations.apply_retention()
    assert not Alert.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_mail_to_a_server_that_hangs_does_not_hold_up_the_queue(monkeypatch):
    sent = []
    monkeypatch.setattr(async_operations, "TESTS_BUDGET_SECONDS", -1)
    monkeypatch.setattr(async_operations.alert_mail, "unsent", lambda: [1, 2, 3])
    monkeypatch.setattr(async_operations.alert_mail, "send", sent.append)
    async_operations.watch_profiles()
    assert sent == []
