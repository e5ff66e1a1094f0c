"""Email that lies in tracked folders: noted as it is listed, and what it is about by that."""

from collections.abc import Collection, Sequence
from importlib.resources import files

from django.db import connection

from syncservice.mailboxes.models import RemoteItem, TrackingFolder
from syncservice.mailboxes.schedule import fenced
from syncservice.sync.inbox import Inbox

_APPLY_FOLDER_RULES = files(__package__).joinpath("apply_folder_rules.sql").read_text()


def note_in_folder(inbox: Inbox, ids: Collection[str]) -> bool:
    """Take note that items lie in the tracked folder, whatever brought them in (F143, F151).

    False, with nothing written, when somebody untracked it since.
    """
    with fenced(inbox.claim):
        rule = inbox.rule()
        if rule is not None:
            links = RemoteItem.objects.filter(mailbox=inbox.claim.mailbox_id, item_id__in=ids)
            links.exclude(folder=rule).update(folder=rule)
    return rule is not None


def note_left_folder(inbox: Inbox, item_ids: Sequence[str]) -> None:
    """Take note that items left the folder: its rule says no more what they are about."""
    if inbox.tracked_folder is not None and item_ids:
        with fenced(inbox.claim):
            RemoteItem.objects.filter(
                mailbox=inbox.claim.mailbox_id, folder=inbox.tracked_folder, item_id__in=item_ids
            ).update(folder=None)


def folder_is_gone(inbox: Inbox) -> None:
    """Take note that the tracked folder isn't there any more (F145)."""
    assert inbox.tracked_folder is not None, "the Inbox is always there"
    with fenced(inbox.claim):
        TrackingFolder.objects.filter(pk=inbox.tracked_folder.pk).update(
            state=TrackingFolder.State.GONE
        )


def apply_folder_rules(inbox: Inbox) -> None:
    """Let what lies in tracked folders be about what their rules say (F143, F149, F151).

    Where one email lies in folders of several, the first that brought it in says so (F150).
    """
    with fenced(inbox.claim), connection.cursor() as cursor:
        cursor.execute(_APPLY_FOLDER_RULES, {"mailbox": inbox.claim.mailbox_id})
