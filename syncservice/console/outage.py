"""What a browser gets while PostgreSQL can't be used: a page that says so, and no traceback."""

from collections.abc import Callable

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 30


class DatabaseOutage:
    """Middleware: 503 in place of a page whose database is away, full, or locked by somebody."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, (OperationalError, InterfaceError)):
            return None
        log.error(
            "page.database_unavailable",
            path=request.path,
            error=str(error).strip().partition("\n")[0],
        )
        # Without the request: who asks, and whatever else a page shows of them, is in the database.
        page = render_to_string("console/unavailable.html")
        return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
