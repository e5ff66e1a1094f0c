"""What one code means for people."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The texts are lazy: each reader gets them in their own language."""

    name: str = ""  # as the reference (4D) or EWS calls it; '': neither does
    meaning: "_StrPromise"  # what happened, one sentence
    cause: "_StrPromise"
    remedy: "_StrPromise"  # what to do, one or two sentences
    reference: str = ""  # ids in the reference's alert catalogue: "A07, A08"


#: Remedies that many entries share.
NOTHING = _("Nothing needs to be done.")
RETRIED = _("Nothing needs to be done: it is tried again by itself.")
PAUSED = _(
    "Nothing needs to be done: it is tried again after a pause. If it happens often, allow fewer "
    "connections or requests in the server profile."
)
ASK_SERVER = _(
    "It is tried again by itself. If it lasts, look into the logs of the mail server, or ask its "
    "administrator."
)
