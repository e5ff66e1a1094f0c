"""The tracking tokens of the email that users send: each has a number, and a counter (3D)."""

from django.db import connection
from django.db.models import F, Max

from syncservice.crm.models import Queue, User
from syncservice.mailboxes.models import Organisation
from syncservice.sync.organisation_rules import rules_of

#: Number of the lock of PostgreSQL under which users get the numbers of their tokens.
_NUMBERS = 0x5E21


def next_tokens(writer: User | Queue, count: int) -> list[str]:
    """Return the next tracking tokens of a user, '' where none are used (3D)."""
    rules = rules_of(Organisation.current())
    if not isinstance(writer, User) or not rules.switches.tokens:
        return [""] * count
    user = User.objects.select_for_update(no_key=True).get(pk=writer.pk)
    number = user.token_number or _next_number()
    User.objects.filter(pk=user.pk).update(
        token_number=number, token_count=F("token_count") + count
    )
    return [rules.scheme.token(number, user.token_count + one) for one in range(1, count + 1)]


def _next_number() -> int:
    """Return a number that no user has; two who ask get it one after the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_NUMBERS])
    return (User.objects.aggregate(last=Max("token_number"))["last"] or 0) + 1
