"""What is asked of tables that grow for years is found by an index."""

from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now

from syncservice.alerts.models import Alert, ItemFailure
from syncservice.crm.models import Email, User
from syncservice.mailboxes.models import Mailbox, VisitStatistics

pytestmark = pytest.mark.django_db
ANN = "ann@example.test"
OPEN = ItemFailure.objects.exclude(state__in=ItemFailure.DONE)


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (Mailbox.objects.filter(email_address__iexact=ANN), "mailboxes_by_address"),
        (User.objects.filter(email__iexact=ANN), "users_by_address"),
        (
            ItemFailure.objects.filter(mailbox=1, state="retrying", last_seen_at__lt=Now())
            .order_by("last_seen_at")[:10],
            "open_failures",
        ),
        (OPEN.filter(mailbox=1), "open_failures"),
        (ItemFailure.objects.order_by("-last_seen_at", "-pk")[:10], "failures_by_time"),
        (Alert.objects.order_by("-last_seen_at", "-pk")[:10], "alerts_by_time"),
        (Alert.objects.filter(ended_at__lt=Now()).order_by("ended_at")[:10], "alerts_over"),
        (VisitStatistics.objects.filter(mailbox=1).order_by("-finished_at")[:5],
         "visits_of_a_mailbox"),
        (VisitStatistics.objects.filter(finished_at__lt=Now()).order_by("finished_at")[:10],
         "visits_by_time"),
        (Email.objects.filter(pk__gt=uuid4()).order_by("-received_at", "-pk")[:10],
         "email_by_time"),
        (Email.objects.filter(subject_hashes=[1, 2], address_hashes__overlap=[3]),
         "email_by_words"),
    ],
)  # fmt: skip
def test_rows_are_found_by_an_index(rows, index):
    with connection.cursor() as cursor:
        # An empty table is read whole, unless that is forbidden.
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    assert index in rows.explain()
