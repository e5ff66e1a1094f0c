"""The pages: mailboxes at a glance, one mailbox, one email.

They only read, but for `act_on_email`: what people decide about email on its way out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from itertools import groupby
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import F, Prefetch, Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from syncservice.alerts import overview as glance
from syncservice.alerts.models import ItemFailure
from syncservice.alerts.whereabouts import why_stored
from syncservice.console import letter, outgoing
from syncservice.console.headers import FILE_POLICY, LETTER_POLICY
from syncservice.console.standing import state_of, totals
from syncservice.crm.models import ActivityParty, Attachment, Email
from syncservice.domain.sending import State
from syncservice.mailboxes.models import Lane, Mailbox, RemoteItem, ServerHealth

MAILBOXES_A_PAGE = 50
EMAILS_A_PAGE = 50
VISITS_SHOWN = 20
FAILURES_SHOWN = 100
UNSENT_SHOWN = 50
#: On a mailbox's page, those of emails that were not sent to everybody with them.
ALERTS_SHOWN = 20
#: The overview renews itself this often; in demos a visit takes less than a second.
REFRESH_SECONDS = 4


def staff_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let staff in, ask strangers to log in, tell others why not; and let no cache keep mail."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not getattr(request.user, "is_staff", False):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return never_cache(require_safe(login_required(guarded)))


def staff_or_owner(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """As `staff_only`, and let in whose email it is, if it was written here."""

    @wraps(view)
    def guarded(request: HttpRequest, email_id: UUID, *args: Any, **kwargs: Any) -> HttpResponse:
        if not outgoing.may_see(request.user, email_id):
            raise PermissionDenied
        return view(request, email_id, *args, **kwargs)

    return never_cache(login_required(guarded))


@dataclass(frozen=True, slots=True)
class _EveryMailbox:
    """What `Paginator` cuts into pages; only the page asked for is read."""

    number: int

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, rows: slice) -> list[glance.MailboxStatus]:
        return glance.overview(limit=rows.stop - rows.start, offset=rows.start)


class _Counted(Paginator):
    """Pages of a query whose length is known by other means than running it."""

    count = 0

    def __init__(self, rows: Any, number: int, per_page: int) -> None:
        super().__init__(rows, per_page)
        self.count = number


@staff_only
def overview(request: HttpRequest) -> HttpResponse:
    summary = totals()
    every_mailbox: Any = _EveryMailbox(summary.mailboxes)
    page = Paginator(every_mailbox, MAILBOXES_A_PAGE).get_page(request.GET.get("page"))
    context = {"totals": summary, "page": page, "refresh_seconds": REFRESH_SECONDS}
    return render(request, "console/overview.html", context)


@staff_only
def mailbox(request: HttpRequest, mailbox_id: int) -> HttpResponse:
    box = get_object_or_404(
        Mailbox.objects.select_related("profile").defer("password", "profile__password"),
        pk=mailbox_id,
    )
    received = RemoteItem.objects.filter(mailbox=box, email__isnull=False)
    sender = ActivityParty.objects.filter(participation=ActivityParty.Participation.SENDER)
    emails = (
        Email.objects.filter(pk__in=received.values("email"))
        .only("subject", "received_at", "sent_at")
        .prefetch_related(Prefetch("parties", sender, to_attr="senders"))
        .order_by("-received_at", "-pk")
    )
    failures = box.item_failures.order_by("-last_seen_at")
    context = {
        "mailbox": box,
        "mapping": box.mappings.filter(ended_at=None).select_related("user", "queue").first(),
        "state": state_of(box),
        "alerts": box.alerts.filter(
            Q(email=None) | Q(email__status=State.SENT), ended_at=None
        ).order_by(F("email").asc(nulls_first=True), "-severity", "-last_seen_at")[:ALERTS_SHOWN],
        "unsent": outgoing.unsent(box, UNSENT_SHOWN),
        "unsent_shown": UNSENT_SHOWN,
        "directions": box.directions.order_by("kind"),
        "server": ServerHealth.objects.filter(profile=box.profile, server="incoming")
        .annotate(is_paused=Q(not_before__gt=Now()))
        .first(),
        "schedule": box.schedules.filter(lane=Lane.INCOMING).first(),
        "visits": box.visits.order_by("-finished_at")[:VISITS_SHOWN],
        "failures": [
            *failures.exclude(state__in=ItemFailure.DONE)[:FAILURES_SHOWN],
            *failures.filter(state__in=ItemFailure.DONE)[:VISITS_SHOWN],
        ],
        "page": _Counted(emails, received.count(), EMAILS_A_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "console/mailbox.html", context)


@require_safe
@staff_or_owner
def email(request: HttpRequest, email_id: UUID) -> HttpResponse:
    found = get_object_or_404(Email, pk=email_id)
    parties = found.parties.order_by("participation", "pk")
    is_presentable = letter.is_presentable(found.html)
    way = outgoing.way_of(found)
    context = {
        "email": found,
        "way": way,
        "alerts": found.alerts.filter(ended_at=None).order_by("-severity", "-last_seen_at"),
        "why": "" if way else why_stored(found),
        "parties": [
            (ActivityParty.Participation(part).label, list(people))
            for part, people in groupby(parties, lambda party: party.participation)
        ],
        "attachments": [
            (attachment, letter.plain_name(attachment.filename))
            for attachment in found.attachments.all()
        ],
        "mailboxes": Mailbox.objects.filter(pk__in=found.remote_items.values("mailbox"))
        .only("email_address")
        .order_by("email_address"),
        "has_frame": bool(found.html) and is_presentable,
        "html_is_hidden": not is_presentable,
        "remote_pictures": letter.clean(found.html, {}).remote_pictures if is_presentable else 0,
        "text": found.text[: letter.LONGEST_TEXT],
        "text_is_cut": len(found.text) > letter.LONGEST_TEXT,
    }
    return render(request, "console/email.html", context)


@require_POST
@staff_or_owner
def act_on_email(request: HttpRequest, email_id: UUID) -> HttpResponse:
    """Do what a button of an email's page is for; what can't be done is told on that page."""
    act = outgoing.ACTIONS.get(request.POST.get("action", ""))
    if act is None:
        return HttpResponseBadRequest()
    try:
        act(get_object_or_404(Email, pk=email_id), request.user.get_username())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect("email", email_id)


@xframe_options_sameorigin
@require_safe
@staff_or_owner
def email_body(request: HttpRequest, email_id: UUID) -> HttpResponse:
    """Answer with an email's HTML for the frame in its page."""
    found = get_object_or_404(Email, pk=email_id)
    pictures = letter.pictures_of(found.attachments.exclude(content_id=""))
    html = found.html if letter.is_presentable(found.html) else ""
    context = {"body": letter.clean(html, pictures).html}
    response = render(request, "console/email_body.html", context)
    response["Content-Security-Policy"] = LETTER_POLICY
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_safe
@staff_or_owner
def attachment(request: HttpRequest, email_id: UUID, position: int) -> HttpResponse:
    """Answer with a file as bytes to save, never to show."""
    file = get_object_or_404(
        Attachment.objects.select_related("body"), email=email_id, position=position
    )
    disposition = content_disposition_header(True, letter.plain_name(file.filename))
    return HttpResponse(
        bytes(file.body.content),
        content_type="application/octet-stream",
        headers={
            "Content-Disposition": disposition,
            "Content-Security-Policy": FILE_POLICY,
            "X-Content-Type-Options": "nosniff",
        },
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "console/forbidden.html", status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "console/not_found.html", status=404)
