"""A stranger's mail on our screen: HTML without its tricks, pictures and names made harmless.

nh3 keeps a list of harmless elements; what is said here is only what a mail needs beyond an
article. The frame's sandbox and LETTER_POLICY stand behind it: each alone would hold.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import nh3

from syncservice.crm.models import Attachment

#: HTML beyond any of these is not shown; its text is.
LONGEST_HTML = 2_000_000  # characters
MOST_TAGS = 20_000  # one inside the other they take a second: the time grows with their square
MOST_COPIES = 1_500_000  # elements that a parser might make, see `is_presentable`
#: Longer text is cut; nobody reads more in a browser.
LONGEST_TEXT = 500_000  # characters
#: Pictures inside a mail beyond this are left to download.
PICTURE_BYTES = 8 * 2**20

_PICTURE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp"}  # SVG may hold a script
_OWN_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*")
_LINK = re.compile(r"\s*(https?|mailto|tel):", re.IGNORECASE)
_COLOUR = re.compile(r"rgba?\([\d\s.,%/]*\)", re.IGNORECASE)
_LAYOUT = {"align", "valign", "width", "height", "bgcolor", "dir", "lang", "title", "style"}
_ATTRIBUTES = {
    **{tag: set(attributes) for tag, attributes in nh3.ALLOWED_ATTRIBUTES.items()},
    "*": _LAYOUT,
    "a": {"href"},
    "img": {"src", "alt"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "nowrap", "scope"},
    "font": {"color", "face", "size"},
}
_STYLES = {
    *("color", "background-color", "direction", "display", "height", "max-width", "width"),
    *("font", "font-family", "font-size", "font-style", "font-weight", "letter-spacing"),
    *("line-height", "text-align", "text-decoration", "text-indent", "text-transform"),
    *("vertical-align", "white-space", "word-break", "list-style-type"),
    *("border", "border-bottom", "border-left", "border-right", "border-top"),
    *("border-collapse", "border-color", "border-radius", "border-spacing", "border-style"),
    *("border-width", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top"),
    *("padding", "padding-bottom", "padding-left", "padding-right", "padding-top"),
}
#: What a parser repeats in each paragraph until it is closed ("active formatting elements").
_FORMATTING = re.compile(
    r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])"
    r"(?P<simple>(?:\s+[\w-]+=(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=`]+))*\s*>)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CleanHtml:
    """HTML that runs nothing, sends nothing and loads nothing."""

    html: str
    remote_pictures: int  # left out: loading one tells its sender that the mail was read


def is_presentable(html: str) -> bool:
    """Whether cleaning the HTML takes a bounded part of a web worker, whatever its sender wants.

    Tried: 59 kB of `<b id=1><b id=2>…` and then `<p>x<p>x…` take nh3 (as any HTML5 parser) 14 s and
    4 GB. The standard repeats every formatting element left open in every paragraph, up to three
    of those that are alike, so tags times different formatting tags bounds the elements.
    """
    tags = html.count("<")
    if len(html) > LONGEST_HTML or tags > MOST_TAGS:
        return False
    different: set[str] = set()
    doubtful = 0
    for found in _FORMATTING.finditer(html):
        if found["simple"]:
            different.add(found[0])
        else:
            doubtful += 1
    return tags * (3 * len(different) + doubtful + 1) <= MOST_COPIES


def clean(html: str, pictures: Mapping[str, str]) -> CleanHtml:
    """Clean a mail's HTML; `pictures` are data: addresses by Content-ID, for `cid:`."""
    remote_pictures = 0

    def harmless(element: str, attribute: str, value: str) -> str | None:
        nonlocal remote_pictures
        if attribute == "style":  # no address may stand in one, in no spelling of url()
            return None if "(" in _COLOUR.sub("", value) or "\\" in value else value
        if attribute == "href":
            return value if _LINK.match(value) else None
        if attribute != "src":
            return value
        address = value.strip()
        if address.lower().startswith("cid:"):
            return pictures.get(address[4:])
        if _OWN_PICTURE.fullmatch(address):
            return address
        remote_pictures += 1
        return None

    cleaned = nh3.clean(
        html,
        tags=nh3.ALLOWED_TAGS | {"font"},
        attributes=_ATTRIBUTES,
        attribute_filter=harmless,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
    )
    return CleanHtml(cleaned, remote_pictures)


def pictures_of(attachments: Iterable[Attachment]) -> dict[str, str]:
    """Return the pictures inside a mail as data: addresses by Content-ID, up to PICTURE_BYTES.

    As part of the page: the sandboxed frame has no session to fetch them with.
    """
    pictures: dict[str, str] = {}
    room = PICTURE_BYTES
    for attachment in attachments:
        content_type = attachment.content_type.lower()
        if content_type not in _PICTURE_TYPES or not attachment.content_id:
            continue
        if attachment.size <= room:
            room -= attachment.size
            content = b64encode(attachment.body.content).decode()
            pictures[attachment.content_id.strip("<>")] = f"data:{content_type};base64,{content}"
    return pictures


def plain_name(filename: str) -> str:
    """Return a file's name that is what it looks like and can't leave the download folder.

    Controls (Cc, Cf) include those that write "exe.gpj" backwards.
    """
    shown = "".join(
        "_"
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs") or letter in '/\\:*?"<>|'
        else letter
        for letter in filename
    )
    return shown.strip(" .")[:150] or "attachment"
