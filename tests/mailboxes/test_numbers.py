"""Acts on many mailboxes take as many statements as on few: they hold their locks meanwhile."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import ChangeRecord, Lane, Mailbox, Organisation
from tests import factories

pytestmark = pytest.mark.django_db


def enable(ids):
    return directions.enable_used(ids, "anna")


def disable(ids):
    return directions.disable(ids, directions.Kind, "anna")


def request_tests(ids):
    return directions.request_tests(ids, "anna")


def approve(ids):
    return administration.decide_approval(ids, "anna", approved=True)


def apply_defaults(ids):
    return administration.apply_defaults(ids, "anna")


def sync_now(ids):
    return schedule.wake(ids, Lane.INCOMING, "asked for by hand")


@pytest.mark.parametrize(
    ("act", "is_enabled", "actions"),
    [
        (enable, False, {"direction.enabled"}),
        (disable, True, {"direction.disabled"}),
        (request_tests, False, {"test.requested"}),
        (approve, True, {"mailbox.approved"}),
        (apply_defaults, True, {"mailbox.defaults_applied", "test.requested"}),
        (sync_now, True, set()),
    ],
)
def test_an_act_takes_as_many_statements_for_twenty_mailboxes_as_for_two(act, is_enabled, actions):
    profile = factories.profile()
    organisation = Organisation.current()
    organisation.default_profile = profile
    organisation.save()
    statements = []
    for number in (2, 20):
        pending = Mailbox.Approval.PENDING if act is approve else Mailbox.Approval.APPROVED
        boxes = [
            factories.mailbox(profile=profile, approval=pending, enabled=is_enabled)
            for _ in range(number)
        ]
        ChangeRecord.objects.all().delete()
        with CaptureQueriesContext(connection) as executed:
            assert act([box.pk for box in boxes]) >= number
        statements.append(len(executed))
        noted = ChangeRecord.objects.filter(action__in=actions).values_list("action", "mailbox")
        assert set(noted) == {(action, box.pk) for action in actions for box in boxes}
    assert statements[0] == statements[1]
