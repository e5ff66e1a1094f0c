"""Take back what a visit made after it had lost its claim.

Between its last look at the claim and the server's answer a process may stand still for as long as
it likes. Another visit looks for the item meanwhile, finds none and makes it: then there are two,
and nobody but the process that was overtaken knows that the second is no copy of a person's.
"""

from collections.abc import Sequence
from contextlib import suppress

from syncservice.domain.faults import FaultError
from syncservice.domain.meeting import Invitations
from syncservice.servers.gateway import Activities, Deletion, NotWritten, Written
from syncservice.sync.items.book import Book
from syncservice.sync.items.steps import Step


def take_back(
    book: Book,
    gateway: Activities,
    steps: Sequence[Step],
    answers: Sequence[Written | NotWritten],
) -> None:
    """Delete the items that were just made for links that have another one, or are no more.

    Whoever was asked to a meeting by that is told that it is off: the other one stays. Items of
    links that wait for theirs are left: the next visit finds them. A fault leaves the rest.
    """
    made = {
        step.link.pk: (step, answer)
        for step, answer in zip(steps, answers, strict=True)
        if isinstance(answer, Written)
    }
    present = dict(book.links.filter(pk__in=made).values_list("pk", "item_id"))
    doubles = [
        Deletion(item_id=answer.item_id, cancels=_was_told(step))
        for pk, (step, answer) in made.items()
        if present.get(pk) not in ("", answer.item_id)
    ]
    if doubles:
        with suppress(FaultError):
            gateway.delete(book.kind, doubles)


def _was_told(step: Step) -> bool:
    return step.create_item is not None and step.create_item.invitations is Invitations.ALL
