"""Queue `async_operations`: housekeeping. What users ask for by hand will join it here."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import close_old_connections
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import ItemFailure
from syncservice.mailboxes.models import VisitStatistics
from workers.app import app

log = structlog.get_logger()


@app.task(name="async_operations.apply_retention")
def apply_retention() -> None:
    """Delete what has been kept long enough. It may run twice, on any number of workers."""
    close_old_connections()
    visits, _ = VisitStatistics.objects.filter(
        finished_at__lt=Now() - timedelta(days=settings.STATISTICS_DAYS)
    ).delete()
    failures, _ = (
        ItemFailure.objects.exclude(state=ItemFailure.State.RETRYING)
        .filter(last_seen_at__lt=Now() - timedelta(days=settings.ITEM_FAILURE_DAYS))
        .delete()
    )
    alerts.end_outlived()
    log.info("retention.applied", visits=visits, item_failures=failures)
