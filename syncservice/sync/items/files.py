"""Files of appointments: their values are merged, their contents travel beside them (F191).

A content is stored before a record names it, and put on the item before both sides are said to
agree: cut off anywhere, merging finds again what is left to do.
"""

import mimetypes
from collections.abc import Iterable, Mapping, Sequence

from syncservice.crm.models import AttachmentContent
from syncservice.domain.attachments import Allowed
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.item_values import Value, Values
from syncservice.domain.merge import FILES, Base
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import Activities, Gone, ItemFile, NotWritten, Written
from syncservice.sync.items.book import Book
from syncservice.sync.items.steps import Step

Answer = Written | NotWritten | Gone


def kept(values: Values, allowed: Allowed | None) -> Values:
    """Return values without the files that are kept out: these stay on their own side."""
    if not values.get(FILES) or allowed is None:
        return values
    return {**values, FILES: [one for one in values[FILES] if _keeps(allowed, one)]}


def kept_base(base: Base, allowed: Allowed | None) -> Base:
    """Return what was agreed without them: what is kept out now was not deleted by anybody."""
    return Base(kept(base.crm, allowed), kept(base.exchange, allowed))


def with_kept_out(told: Values, had: Values, allowed: Allowed | None) -> Values:
    """Return what a record is told, with the files of what it `had` that are not spoken of."""
    if FILES not in told or allowed is None:
        return told
    silent = [one for one in had.get(FILES, ()) if not _keeps(allowed, one)]
    return {**told, FILES: sorted([*told[FILES], *silent], key=_key)}


def without(files: Iterable[Value], others: Iterable[Value]) -> tuple[Value, ...]:
    """Return the files that are not among others."""
    keys = {_key(one) for one in others}
    return tuple(one for one in files if _key(one) not in keys)


def fetch(book: Book, gateway: Activities, steps: Sequence[Step]) -> None:
    """Store the contents that records are to get, or raise FaultError.

    A step whose item can't give them, or has others meanwhile, is left.
    """
    asked = {place: files for place, step in enumerate(steps) if (files := _wanted(step))}
    known = _known({one["digest"] for files in asked.values() for one in files})
    for place, files in asked.items():
        missing = {one["digest"] for one in files} - known
        if missing:
            known |= _fetched(book, gateway, steps[place], missing)


def _wanted(step: Step) -> Sequence[Value]:
    told = step.change_record if step.create_record is None else step.create_record
    files: Sequence[Value] = told.get(FILES, ())
    return files


def _known(digests: Iterable[str]) -> set[str]:
    found = AttachmentContent.objects.filter(digest__in=digests)
    return set(found.values_list("digest", flat=True))


def _fetched(book: Book, gateway: Activities, step: Step, missing: set[str]) -> set[str]:
    """Store what an item has of some contents; return what is stored."""
    try:
        files = {file.value["digest"]: file for file in gateway.files(step.link.item_id)}
    except FaultError as error:
        if error.fault.scope is not Scope.EMAIL:
            raise
        step.leave(error.fault)
        return set()
    if missing - files.keys():
        step.leave(_CHANGED)
        return set()
    with fenced(book.claim):  # by itself: the contents of all steps may be more than memory has
        AttachmentContent.objects.bulk_create(
            (AttachmentContent(digest=one, content=files[one].content) for one in sorted(missing)),
            ignore_conflicts=True,
        )
    return missing


def put(gateway: Activities, steps: Sequence[Step], answers: Sequence[Answer]) -> list[Answer]:
    """Put the files of items that were written on them, and return what came of them then.

    A fault that concerns more than its item stands in the place of all that are left.
    """
    after: list[Answer] = []
    stops: NotWritten | None = None
    for step, answer in zip(steps, answers, strict=True):
        if isinstance(answer, Written) and (step.attach or step.detach):
            answer = stops or _put(gateway, step, answer)
            if isinstance(answer, NotWritten) and answer.fault.scope is not Scope.EMAIL:
                stops = answer
        after.append(answer)
    return after


def _put(gateway: Activities, step: Step, written: Written) -> Answer:
    contents: Mapping[str, AttachmentContent] = AttachmentContent.objects.in_bulk(
        [one["digest"] for one in step.attach]
    )
    add = [
        ItemFile(one["name"], _content_type(one["name"]), bytes(contents[one["digest"]].content))
        for one in step.attach
    ]
    try:
        return gateway.put_files(written.item_id, written.change_key, add, step.detach)
    except FaultError as error:
        return NotWritten(error.fault)


def _content_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _key(value: Value) -> tuple[str, str]:
    return value["name"], value["digest"]


def _keeps(allowed: Allowed, value: Value) -> bool:
    return allowed.keeps(value["name"], value["size"])


_CHANGED = Fault(
    code="item.files_changed",
    nature=Nature.CONFLICT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the files of the item were changed while they were fetched; it is read again",
)
