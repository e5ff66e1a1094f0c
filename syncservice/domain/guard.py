"""What is asked about before it is done, because it is much, or can't be taken back (P05, P07)."""

from syncservice.domain.adoption import FirstSync

#: Messages to attendees that a first synchronization may cause unasked: nobody gets them back.
MOST_INVITATIONS = 50
#: Percent of what is linked that may be deleted unasked.
MOST_DELETED = 20


def first_synchronization(counts: FirstSync, *, most: int) -> str:
    """Say why somebody has to agree to a first synchronization; '': nobody has to.

    `most` are the items and records that it may create unasked.
    """
    created = counts.creates_in_exchange + counts.creates_in_crm
    if created <= most and counts.invitations <= MOST_INVITATIONS:
        return ""
    return (
        f"it would create {counts.creates_in_exchange} in the mailbox and {counts.creates_in_crm}"
        f" in the CRM, link {counts.links} that are on both sides already,"
        f" and send {counts.invitations} invitations"
    )


def mass_deletion(count: int, linked: int, *, most: int) -> str:
    """Say why somebody has to agree to `count` deletions of `linked`; '': nobody has to.

    `most` may be deleted unasked, or a fifth of what is linked, whichever is more.
    """
    if count <= most or count * 100 <= linked * MOST_DELETED:
        return ""
    return f"{count} of {linked} that are linked would be deleted on the other side"
