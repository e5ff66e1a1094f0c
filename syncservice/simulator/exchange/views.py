"""Pages of what FindItem and FindFolder found."""

from dataclasses import dataclass

from syncservice.simulator.exchange.errors import schema_violation
from syncservice.simulator.exchange.markup import Element, line_of

#: Exchange's find limits: a longer page is cut, not refused.
LONGEST = 1000
LONGEST_FILTERED = 250


@dataclass(frozen=True, slots=True)
class PageView:
    """Which part of the result the client wants."""

    offset: int = 0
    most: int | None = None
    from_end: bool = False

    def bounds(self, total: int, longest: int = LONGEST) -> tuple[int, int]:
        """The first index, and the one behind the last."""
        most = longest if self.most is None else min(self.most, longest)
        if self.from_end:
            end = max(total - self.offset, 0)
            return max(end - most, 0), end
        start = min(self.offset, total)
        return start, min(start + most, total)


def read_page_view(element: Element | None) -> PageView:
    """Read an IndexedPageItemView or IndexedPageFolderView; None: everything."""
    if element is None:
        return PageView()
    base = element.get("BasePoint")
    offset, most = element.get("Offset") or "", element.get("MaxEntriesReturned")
    if base not in ("Beginning", "End") or not offset.isdigit():
        raise schema_violation("The paging view is invalid.", line_of(element))
    count = None if most is None else read_most(most, element)
    return PageView(int(offset), count, base == "End")


def read_calendar_view(element: Element) -> PageView:
    """Read how much a CalendarView shows; its span is read where items are compared with it."""
    most = element.get("MaxEntriesReturned")
    return PageView(most=None if most is None else read_most(most, element))


def read_most(text: str, element: Element) -> int:
    """Read a MaxEntriesReturned."""
    if not text.isdigit() or int(text) < 1:
        what = f"The 'MaxEntriesReturned' attribute is invalid - '{text}'."
        raise schema_violation(what, line_of(element))
    return int(text)


def root_folder(name: str, inner: str, end: int, total: int) -> str:
    """The payload of a find: a page of items or folders."""
    is_last = "true" if end >= total else "false"
    return (
        f'<m:RootFolder IndexedPagingOffset="{end}" TotalItemsInView="{total}" '
        f'IncludesLastItemInRange="{is_last}"><t:{name}>{inner}</t:{name}></m:RootFolder>'
    )
