"""The page of a mailbox's appointments, contacts and tasks, and what its buttons do.

Staff may look, and the mailbox's owner; who may decide, is the owner or who may change mailboxes.
Subjects and values are for the owner's eyes only (F305).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from syncservice.alerts import item_requests
from syncservice.alerts.catalogue import entry_of
from syncservice.console import duplicates, items
from syncservice.mailboxes import administration
from syncservice.mailboxes.item_questions import Question
from syncservice.mailboxes.models import ItemConflict, Mailbox
from syncservice.sync.items import reversal

FAILURES_SHOWN = 100
DUPLICATES_SHOWN = 50
CONFLICTS_SHOWN = 50
VISITS_SHOWN = 20
ENTRIES_SHOWN = 200

Given = dict[str, Any]


def staff_or_owner(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let staff and the mailbox's owner in, who learns of no mailbox but the own."""

    @wraps(view)
    def guarded(request: HttpRequest, mailbox_id: int) -> HttpResponse:
        rows = Mailbox.objects.select_related("profile")
        rows = rows.defer("password", "profile__password", "profile__outgoing_password")
        box = rows.filter(pk=mailbox_id).first()
        is_owner = box is not None and administration.owner_of(box) == request.user
        if not is_owner and not getattr(request.user, "is_staff", False):
            raise PermissionDenied
        box = get_object_or_404(rows, pk=mailbox_id)
        return view(request, box, is_owner=is_owner)

    return never_cache(login_required(guarded))


def _may_decide(request: HttpRequest, is_owner: bool) -> bool:
    return is_owner or request.user.has_perm("mailboxes.change_mailbox")


@require_safe
@staff_or_owner
def show(request: HttpRequest, box: Mailbox, *, is_owner: bool) -> HttpResponse:
    number = request.GET.get("visit", "")
    visit = int(number) if number.isdecimal() and len(number) < 19 else None
    entries = items.entries(box, visit)[:ENTRIES_SHOWN] if visit is not None else []
    kinds, may_decide = items.kinds(box), _may_decide(request, is_owner)
    context = {
        "mailbox": box,
        "is_owner": is_owner,
        "may_decide": may_decide,
        "may_look_anew": may_decide and any(kind.may_be_looked_at_anew for kind in kinds),
        "questions": [
            (question, number, entry_of(item_requests.code_of(question)))
            for question, number in item_requests.asked(box).items()
        ],
        "left_alone": item_requests.left_alone(box),
        "duplicates": duplicates.named(duplicates.waiting(box)[:DUPLICATES_SHOWN]),
        "kinds": kinds,
        "planned": items.PLANNED.values(),
        "failures": items.failures(box)[:FAILURES_SHOWN],
        "conflicts": items.conflicts(box)[:CONFLICTS_SHOWN],
        "visits": items.visits(box, VISITS_SHOWN),
        "visit": visit,
        "entries": [(entry, items.changed_names(entry)) for entry in entries],
        "shown": {
            "duplicates": DUPLICATES_SHOWN,
            "failures": FAILURES_SHOWN,
            "conflicts": CONFLICTS_SHOWN,
            "entries": ENTRIES_SHOWN,
        },
    }
    return render(request, "console/items.html", context)


@require_POST
@staff_or_owner
def act(request: HttpRequest, box: Mailbox, *, is_owner: bool) -> HttpResponse:
    """Do what a button of the page is for; what came of it is told on the page."""
    if not _may_decide(request, is_owner):
        raise PermissionDenied
    do = _ACTIONS.get(request.POST.get("action", ""))
    if do is None:
        return HttpResponseBadRequest()
    try:
        told = do(box, request.user.get_username(), request.POST.dict())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    except (KeyError, ValueError):
        return HttpResponseBadRequest()
    else:
        messages.success(request, told)
    return redirect("items", box.pk)


def _answer(box: Mailbox, actor: str, given: Given) -> str:
    yes = {"yes": True, "no": False}[given["answer"]]
    item_requests.answer(box, Question(given["question"]), yes, actor)
    return _("Answered; the next visit obeys.")


def _decide(box: Mailbox, actor: str, given: Given) -> str:
    chosen = UUID(given["record"]) if given["record"] else None
    item_requests.decide_duplicate(box, int(given["item"]), chosen, actor)
    return _("Answered; the next visit obeys.")


def _look_anew(box: Mailbox, actor: str, given: Given) -> str:
    item_requests.look_anew(box, actor)
    return _("The next visit looks at it anew, and writes nothing.")


def _retry(box: Mailbox, actor: str, given: Given) -> str:
    number = item_requests.retry(box, actor)
    told = ngettext("%(number)d item is tried again.", "%(number)d items are tried again.", number)
    return told % {"number": number}


def _reverse(box: Mailbox, actor: str, given: Given) -> str:
    conflict = get_object_or_404(ItemConflict, link__mailbox=box, pk=int(given["conflict"]))
    reversal.reverse(conflict.pk, actor)
    return _("The record has the other value; the next visit carries it to the mailbox.")


def _undo(box: Mailbox, actor: str, given: Given) -> str:
    item_requests.undo(box, int(given["visit"]), actor)
    return _("The next visit undoes what can be undone.")


_ACTIONS: dict[str, Callable[[Mailbox, str, Given], str]] = {
    "answer": _answer,
    "decide": _decide,
    "look-anew": _look_anew,
    "retry": _retry,
    "reverse": _reverse,
    "undo": _undo,
}
