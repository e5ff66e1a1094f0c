"""FindItem: filtered, sorted and paged, or a calendar view."""

from collections.abc import Callable
from datetime import datetime

from syncservice.simulator.exchange.context import (
    Context,
    attribute,
    one_child,
    required_children,
)
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.markup import Element, M, children, line_of
from syncservice.simulator.exchange.moments import read_moment
from syncservice.simulator.exchange.occurrences import going_on
from syncservice.simulator.exchange.paths import FieldPath, Path, read_path
from syncservice.simulator.exchange.restrictions import (
    NUMBER,
    item_filter,
    item_words,
    query_filter,
)
from syncservice.simulator.exchange.shapes import read_item_shape
from syncservice.simulator.exchange.views import (
    LONGEST,
    LONGEST_FILTERED,
    read_calendar_view,
    read_page_view,
    root_folder,
)

UNSUPPORTED = ("FractionalPageItemView", "SeekToConditionPageItemView", "GroupBy", "ContactsView")


def find_item(context: Context) -> str:
    """The items of folders that match."""
    element = context.element
    traversal = attribute(element, "Traversal", ("Shallow", "SoftDeleted", "Associated"))
    shape = read_item_shape(one_child(element, M + "ItemShape"), in_list=True)
    for name in UNSUPPORTED:
        if element.find(M + name) is not None:
            raise EwsError("ErrorInvalidOperation", f"{name} is not simulated.")
    view = read_page_view(element.find(M + "IndexedPageItemView"))
    calendar = element.find(M + "CalendarView")
    matches = item_filter(element.find(M + "Restriction"))
    span: tuple[datetime, datetime] | None = None
    if calendar is not None:
        if matches is not None:
            raise EwsError("ErrorInvalidRestriction", "A calendar view takes no restriction.")
        view, span = read_calendar_view(calendar), read_span(calendar, context)
    query = element.findtext(M + "QueryString")
    if query:
        matches = query_filter(query)
    orders = [read_order(one) for one in children(element.find(M + "SortOrder"))]
    longest = LONGEST if matches is None else LONGEST_FILTERED

    def find(one: Element) -> str:
        _, folder = context.folder(one)
        found = list(folder.items.values()) if traversal == "Shallow" else []
        if matches is not None:
            found = [item for item in found if matches(item)]
        if span is not None:
            found = [shown for item in found for shown in going_on(item, *span)]
        found = in_order(found, orders, by_start=span is not None)
        start, end = view.bounds(len(found), longest if span is None else len(found))
        inner = "".join(shape.write(item) for item in found[start:end])
        return root_folder("Items", inner, end, len(found))

    return context.each("FindItem", required_children(element, M + "ParentFolderIds"), find)


def read_span(view: Element, context: Context) -> tuple[datetime, datetime]:
    """The start and the end of a calendar view."""
    start_text, end_text = view.get("StartDate"), view.get("EndDate")
    if not start_text or not end_text:
        raise schema_violation("CalendarView needs StartDate and EndDate.", line_of(view))
    return read_moment(start_text, context.zone), read_moment(end_text, context.zone)


def read_order(element: Element) -> tuple[Path, bool]:
    """Read one FieldOrder: the path, and whether it descends."""
    direction = attribute(element, "Order", ("Ascending", "Descending"))
    path = read_path(children(element)[0])
    if isinstance(path, FieldPath) and path.name in ("Body", "MimeContent", "Attachments"):
        raise EwsError("ErrorUnsupportedPathForSortGroup")
    return path, direction == "Descending"


def in_order(items: list[Item], orders: list[tuple[Path, bool]], *, by_start: bool) -> list[Item]:
    """Sort; without an order newest first, a calendar view by start."""
    if by_start:
        return sorted(items, key=lambda item: item.text("Start"))
    if not orders:
        return items[::-1]
    for path, descends in reversed(orders):
        items = sorted(items, key=sort_key(path), reverse=descends)
    return items


def sort_key(path: Path) -> Callable[[Item], tuple[int, float, str]]:
    """Unset values first, numbers by size, texts without regard to case."""

    def key(item: Item) -> tuple[int, float, str]:
        words = item_words(item, path)
        if not words:
            return (0, 0.0, "")
        if NUMBER.fullmatch(words[0]):
            return (1, float(words[0]), "")
        return (2, 0.0, words[0].casefold())

    return key
