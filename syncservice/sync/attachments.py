"""The files of emails, each content stored once however many emails carry it (F122)."""

import hashlib
from collections.abc import Mapping, Sequence
from uuid import UUID

from syncservice.crm.models import Attachment, AttachmentContent
from syncservice.domain.message import MessageAttachment

#: Files of one email, by their place in it: some of a message may have been left out.
Files = Sequence[tuple[int, MessageAttachment]]


def keep(files: Mapping[UUID, Files]) -> None:
    """Store the files of emails, by the emails' ids."""
    contents: dict[str, bytes] = {}
    rows: list[Attachment] = []
    for email_id, of_email in files.items():
        for position, attachment in of_email:
            digest = hashlib.sha256(attachment.content).hexdigest()
            contents[digest] = attachment.content
            rows.append(_row(email_id, digest, position, attachment))
    # In one order: two who store the same contents never wait for each other in a circle.
    AttachmentContent.objects.bulk_create(
        (AttachmentContent(digest=digest, content=contents[digest]) for digest in sorted(contents)),
        ignore_conflicts=True,
    )
    Attachment.objects.bulk_create(rows)


def _row(email_id: UUID, digest: str, position: int, attachment: MessageAttachment) -> Attachment:
    return Attachment(
        email_id=email_id,
        body_id=digest,
        position=position,
        filename=attachment.filename,
        content_type=attachment.content_type,
        content_id=attachment.content_id,
        is_inline=attachment.is_inline,
        size=len(attachment.content),
    )
