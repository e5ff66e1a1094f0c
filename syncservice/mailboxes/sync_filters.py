"""Changes of synchronization filters: written down, and obeyed by the next visit, which is now.

A filter of everybody is obeyed by each mailbox's next visit in its own time (F181).
"""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from syncservice.crm import templates
from syncservice.crm.models import SyncFilter, User
from syncservice.domain.filters import BadCriteriaError
from syncservice.mailboxes import administration, audit, schedule
from syncservice.mailboxes.models import Lane


@transaction.atomic
def save(chosen: SyncFilter, actor: str) -> None:
    """Store a new or changed filter; raise ValidationError for what can't be applied."""
    action = "filter.changed" if chosen.pk else "filter.added"
    chosen.full_clean()
    try:
        chosen.save()
    except BadCriteriaError as error:
        raise ValidationError(error.problems) from error
    _tell(chosen, actor, action)


@transaction.atomic
def remove(chosen: SyncFilter, actor: str) -> None:
    """Delete a filter; what it alone selected goes its own way from then on (F206)."""
    _tell(chosen, actor, "filter.removed")
    chosen.delete()


@transaction.atomic
def give(user: User, actor: str, *given: SyncFilter) -> None:
    """Give a user copies of templates, of the default ones if none are named (F183)."""
    if any(one.kind != SyncFilter.Kind.TEMPLATE for one in given):
        raise ValidationError(_("Only templates are given to users."))
    templates.instantiate(user, *given)
    audit.note(actor, "filter.given", user=user.username, templates=[one.pk for one in given])
    _wake(user)


@transaction.atomic
def reset(user: User, actor: str) -> None:
    """Give a user the default filters in the place of all own ones (F183)."""
    templates.reset(user)
    audit.note(actor, "filter.reset", user=user.username)
    _wake(user)


def _tell(chosen: SyncFilter, actor: str, action: str) -> None:
    user = chosen.user
    audit.note(
        actor, action, filter=chosen.pk, name=chosen.name, user=user.username if user else ""
    )
    if user is not None:
        _wake(user)


def _wake(user: User) -> None:
    box = administration.mailbox_of(user)
    if box is not None:
        schedule.wake([box.pk], Lane.ACT, "the filters were changed")
