"""Emails for the console's tests."""

import hashlib
from itertools import count

from django.utils import timezone

from syncservice.crm.models import ActivityParty, Attachment, AttachmentContent, Email
from syncservice.mailboxes.models import Mailbox, RemoteItem

_numbers = count(1)


def email(*boxes: Mailbox, sender: str = "Ann", address: str = "ann@example.test", **fields):
    number = next(_numbers)
    record = Email.objects.create(
        **{
            "direction": Email.Direction.INCOMING,
            "status": Email.Status.RECEIVED,
            "identity": f"console-{number}",
            "subject": "A subject",
            "text": "A text",
            "received_at": timezone.now(),
            **fields,
        }
    )
    sent_by = ActivityParty.Participation.SENDER
    ActivityParty.objects.create(email=record, participation=sent_by, name=sender, address=address)
    for box in boxes:
        RemoteItem.objects.create(mailbox=box, item_id=f"item-{number}", email=record)
    return record


def attachment(record: Email, content: bytes = b"bytes", **fields) -> Attachment:
    digest = hashlib.sha256(content).hexdigest()
    body, _ = AttachmentContent.objects.get_or_create(digest=digest, defaults={"content": content})
    return Attachment.objects.create(
        **{
            "email": record,
            "body": body,
            "position": record.attachments.count(),
            "filename": "file.txt",
            "content_type": "text/plain",
            "is_inline": False,
            "size": len(content),
            **fields,
        }
    )
