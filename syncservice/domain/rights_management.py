"""Which email is rights-managed: readable only to whom a rights management server lets (F120).

Exchange wraps what it protects in an attachment, and names it by a content class (MS-OXORMMS).
"""

from collections.abc import Iterable

from syncservice.domain.message import MessageAttachment

#: Voice mail is a class of item of its own, and its content class is the same word.
_ITEM_CLASS = "ipm.note.rpmsg.microsoft"
_CONTENT_CLASS = "rpmsg.message"
_FILENAME = "message.rpmsg"
_CONTENT_TYPE = "application/x-microsoft-rpmsg-message"


def is_rights_managed(
    item_class: str, content_class: str, attachments: Iterable[MessageAttachment]
) -> bool:
    """Tell it by any one sign: servers on the way drop header fields, and POP3 has no item class.

    An attachment has to have both the name and the type: each alone is anybody's file.
    """
    classes = [name.strip().lower() for name in (item_class, content_class)]
    return (
        classes[1] == _CONTENT_CLASS
        or any(_is_class(name, _ITEM_CLASS) for name in classes)
        or any(
            (one.filename.lower(), one.content_type) == (_FILENAME, _CONTENT_TYPE)
            for one in attachments
        )
    )


def _is_class(name: str, ancestor: str) -> bool:
    return name == ancestor or name.startswith(f"{ancestor}.")
