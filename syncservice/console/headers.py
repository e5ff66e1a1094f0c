"""What a browser may do with our pages: run and load what we serve, and nothing else."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

#: Of every page that does not set its own; the console and Django's admin have nothing inline.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: Of a stranger's HTML: it is shown, with the pictures that it brought itself. Links open a new
#: window, and that window is an ordinary one.
LETTER_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
#: Of a stranger's file, should a browser show it after all.
FILE_POLICY = "default-src 'none'; sandbox"


class SecurityHeaders:
    """Middleware: a Content-Security-Policy on every answer that has none of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        return response
