"""Which email is rights-managed (F120)."""

import pytest

from syncservice.domain.message import MessageAttachment, parse
from syncservice.domain.rights_management import is_rights_managed

PROTECTED = "application/x-microsoft-rpmsg-message"


@pytest.mark.parametrize(
    ("item_class", "content_class", "file", "is_managed"),
    [
        pytest.param("IPM.Note", "rpmsg.message", None, True, id="its content class"),
        pytest.param("", " RPMSG.Message ", None, True, id="in capitals and with spaces"),
        pytest.param(
            "IPM.Note.rpmsg.Microsoft.Voicemail.UM.CA", "", None, True, id="voice mail by its class"
        ),
        pytest.param("ipm.note.RPMSG.microsoft", "", None, True, id="the class above it"),
        pytest.param(
            "IPM.Note", "IPM.Note.rpmsg.Microsoft.Voicemail.UM", None, True,
            id="voice mail by its content class",
        ),
        pytest.param("", "", ("message.rpmsg", PROTECTED), True, id="what is protected, over POP3"),
        pytest.param("", "", ("Message.RPMSG", PROTECTED), True, id="however its name is written"),
        pytest.param("IPM.Note", "", None, False, id="ordinary email"),
        pytest.param("IPM.Note.SMIME", "", None, False, id="encrypted for its reader, not managed"),
        pytest.param("IPM.Note.rpmsg.Microsofts", "", None, False, id="a class that begins alike"),
        pytest.param("", "urn:content-classes:message", None, False, id="another content class"),
        pytest.param("", "", ("message.rpmsg", "text/plain"), False, id="a file of that name"),
        pytest.param("", "", ("licence.bin", PROTECTED), False, id="a file of that type"),
    ],
)  # fmt: skip
def test_what_is_rights_managed(item_class, content_class, file, is_managed) -> None:
    files = [MessageAttachment(*file, b"", "", is_inline=False)] if file else []
    assert is_rights_managed(item_class, content_class, files) is is_managed


def test_a_message_that_was_read_tells_its_content_class() -> None:
    message = parse(b"From: a@b.test\r\nContent-class: rpmsg.message\r\n\r\nprotected\r\n")
    assert is_rights_managed("", message.content_class, message.attachments)
