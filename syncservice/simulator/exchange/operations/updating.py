"""UpdateItem: updates in document order, and what happens when somebody else was faster."""

from dataclasses import dataclass, field, replace

from syncservice.simulator.exchange import derived, schema
from syncservice.simulator.exchange.class_rules import (
    align_all_day,
    check_times,
    settle_series,
)
from syncservice.simulator.exchange.contact_rules import follow_names
from syncservice.simulator.exchange.context import Context, attribute, required_children
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.item_reader import read_property, zone_of
from syncservice.simulator.exchange.mailbox import OF_THE_SERIES, Mailbox
from syncservice.simulator.exchange.markup import Element, M, T, children, local
from syncservice.simulator.exchange.meeting_mail import Sending
from syncservice.simulator.exchange.meetings import is_organizer, settle_meeting, tell_change
from syncservice.simulator.exchange.occurrences import refuse_crossing
from syncservice.simulator.exchange.operations.creating import DISPOSITIONS, choice
from syncservice.simulator.exchange.paths import ExtendedPath, read_path
from syncservice.simulator.exchange.task_rules import (
    PROGRESS,
    advance,
    follow_dates,
    follow_task,
)
from syncservice.simulator.exchange.values import Body, Value

RESOLUTIONS = ("NeverOverwrite", "AutoResolve", "AlwaysOverwrite")
CANCELLATIONS = (
    "SendToNone",
    "SendOnlyToAll",
    "SendOnlyToChanged",
    "SendToAllAndSaveCopy",
    "SendToChangedAndSaveCopy",
)
#: A change of these makes it another series, with none of the exceptions of the old one.
OF_A_SERIES = frozenset(["Recurrence", "Start", "End", "StartTimeZone"])
ACTIONS = ("SetItemField", "AppendToItemField", "DeleteItemField")


def update_item(context: Context) -> str:
    """Change items' properties."""
    element = context.element
    resolution = attribute(element, "ConflictResolution", RESOLUTIONS)
    disposition = choice(element, "MessageDisposition", DISPOSITIONS)
    cancellations = choice(element, "SendMeetingInvitationsOrCancellations", CANCELLATIONS)

    def update(one: Element) -> str:
        named = children(one)[0]
        mailbox, item = context.item(named)
        if item.element in schema.MESSAGES and not disposition:
            raise EwsError("ErrorMessageDispositionRequired")
        if item.element == "CalendarItem" and not cancellations:
            raise EwsError("ErrorSendMeetingInvitationsOrCancellationsRequired")
        version = context.version_of(named)
        if version is None:
            raise EwsError("ErrorChangeKeyRequiredForWriteOperations")
        if version != item.version and resolution == "NeverOverwrite":
            raise EwsError("ErrorIrresolvableConflict")
        draft = Draft(item)
        for change in required_children(one, T + "Updates"):
            draft.apply(change, context)
        resolved = resolve(context, draft, version) if resolution == "AutoResolve" else 0
        before, sending, told = item.copy_values(), Sending(cancellations), item
        if item.element == "CalendarItem":
            check_times(draft.values)
            align_all_day(draft.values)
            settle_series(draft.values, before)
            refuse_crossing(item, draft.values)
            if is_organizer(mailbox, item):
                settle_meeting(draft.values, before, sending)
        elif item.element == "Contact":
            follow_names(draft.values, before)
        elif item.element == "Task":
            follow_dates(draft.values)
            told = take_turn(mailbox, item, draft)
        is_reset = save(mailbox, item, draft)
        if item.element == "CalendarItem":
            tell_change(context.store, mailbox, item, before, sending, is_reset=is_reset)
        if item.element == "Message" and disposition != "SaveOnly":
            to = context.target_folder(M + "SavedItemFolderId") or (
                mailbox,
                mailbox.well_known["sentitems"],
            )
            target = to[1] if disposition != "SendOnly" else None
            context.store.send_draft(mailbox, item, target)
            return f"<m:Items/>{conflicts(resolved)}"
        inner = f"<t:{told.element}>{derived.item_id(told)}</t:{told.element}>"
        return f"<m:Items>{inner}</m:Items>{conflicts(resolved)}"

    return context.each(
        "UpdateItem", required_children(element, M + "ItemChanges"), update, "<m:Items/>"
    )


def take_turn(mailbox: Mailbox, item: Item, draft: "Draft") -> Item:
    """Let a recurring task that is done go on, beside a copy of what was done.

    Returns the task that the answer names: the copy, or else the task itself.
    """
    is_done = draft.values.get("IsComplete") == "true" and not item.is_set("IsComplete")
    following = advance(draft.values) if is_done else None
    if following is None or item.folder is None:
        return item
    done = {key: value for key, value in draft.values.items() if key != "Recurrence"}
    files = [replace(one, id="", number=0) for one in item.all_attachments()]
    copy = mailbox.add(Item(item.element, done, attachments=files), item.folder)
    draft.values = following
    return copy


def conflicts(count: int) -> str:
    """How many properties were settled although both sides had changed them."""
    return f"<m:ConflictResults><t:Count>{count}</t:Count></m:ConflictResults>"


def resolve(context: Context, draft: "Draft", version: int) -> int:
    """Merge per property, the last writer wins; returns how many had changed on both sides."""
    both = [key for key in draft.touched if draft.item.versions.get(key, 0) > version]
    if both and context.store.strict_conflicts:
        raise EwsError("ErrorIrresolvableConflict")
    if "Sensitivity" in both and draft.item.text("Sensitivity") == "Confidential":
        draft.values["Sensitivity"] = "Confidential"  # once raised it stays
    return len(both)


def save(mailbox: Mailbox, item: Item, draft: "Draft") -> bool:
    """Write the outcome of all updates at once; True when a series lost its exceptions by it."""
    changes: dict[str, Value | None] = {
        key: draft.values.get(key)
        for key in {*draft.values, *item.values}
        if draft.values.get(key) != item.values.get(key)
    }
    is_rewritten = "Recurrence" in draft.touched  # be it with the same pattern
    is_moved = is_rewritten or bool(changes.keys() & OF_A_SERIES)
    is_reset = (
        is_moved and item.get("Recurrence") is not None and bool(item.exceptions or item.dropped)
    )
    if is_reset:
        item.exceptions, item.dropped = {}, set()
        mailbox.touch(item, ["ModifiedOccurrences", "DeletedOccurrences"])
    mailbox.set(item, changes)
    return is_reset


@dataclass(slots=True)
class Draft:
    """The item as it will be, while updates are applied one by one."""

    item: Item
    values: dict[str, Value] = field(init=False)
    touched: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.values = self.item.copy_values()

    def apply(self, change: Element, context: Context) -> None:
        """Apply one SetItemField, AppendToItemField or DeleteItemField."""
        action = local(change)
        parts = children(change)
        if action not in ACTIONS or not parts:
            raise EwsError("ErrorInvalidOperation", f"There is no update {action}.")
        path = read_path(parts[0])
        key = path.key(self.item.element)
        if key is None:
            raise EwsError("ErrorInvalidPropertyRequest")
        self.check_writable(key, "Delete" if action == "DeleteItemField" else "Set")
        if action == "DeleteItemField":
            self.delete(key)
        else:
            if len(parts) != 2 or local(parts[1]) not in ("Item", self.item.element):
                raise EwsError("ErrorUpdatePropertyMismatch")
            properties = children(parts[1])
            if len(properties) != 1:
                raise EwsError("ErrorIncorrectUpdatePropertyCount")
            zone = zone_of(parts[1], context.zone)
            found = read_property(properties[0], zone)
            if key not in found or (len(found) > 1 and not isinstance(path, ExtendedPath)):
                raise EwsError("ErrorUpdatePropertyMismatch")
            if action == "AppendToItemField":
                found[key] = self.appended(key, found[key])
            self.values |= found
        self.touched.add(key)
        if self.item.element == "Task" and key in PROGRESS:
            follow_task(self.values, key)

    def check_writable(self, key: str, action: str) -> None:
        """Refuse what is the server's own, or settled by sending."""
        was_sent = self.item.element in schema.MESSAGES and not self.item.is_set("IsDraft")
        if self.item.master is not None and key in OF_THE_SERIES:
            raise EwsError(f"ErrorInvalidProperty{action}")
        if key in schema.READ_ONLY or (was_sent and key in schema.FIXED_AFTER_SENDING):
            raise EwsError(f"ErrorInvalidProperty{action}")

    def delete(self, key: str) -> None:
        """Delete a property; what is not there is deleted already."""
        self.values.pop(key, None)
        if key in schema.INDEXED:
            for entry in [one for one in self.values if one.startswith(key + ":")]:
                del self.values[entry]

    def appended(self, key: str, more: Value) -> Value:
        """The value with `more` behind it."""
        old = self.values.get(key)
        if old is None:
            return more
        if isinstance(old, Body) and isinstance(more, Body):
            return Body(old.text + more.text, old.is_html)
        if isinstance(old, tuple) and isinstance(more, tuple) and key in schema.RECIPIENT_LISTS:
            return (*old, *more)
        raise EwsError("ErrorInvalidPropertyAppend")
