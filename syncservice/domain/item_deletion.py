"""Which deletions of contacts and tasks travel (REFERENCE 3I, 3J); those of meetings: `meeting`.

A record that a user only lost from sight is never deleted for it: its link ends (F206).
"""


def contact_leaves_exchange(*, owns_record: bool) -> bool:
    """Say whether a contact that was deleted in the CRM is deleted in a mailbox (3I).

    Its owner keeps a copy; the others got theirs from the CRM alone.
    """
    return not owns_record


def contact_leaves_crm() -> bool:
    """Say whether a contact that was deleted in a mailbox is deleted in the CRM (3I): never.

    It does not come back to the mailbox either.
    """
    return False


def task_leaves_exchange(status: str) -> bool:
    """Say whether a task that was deleted in the CRM is deleted in a mailbox (3J).

    `status` is the item's, as `item_values` names it; what is done stays as it is.
    """
    return status != "completed"


def task_leaves_crm() -> bool:
    """Say whether a task that was deleted in a mailbox is deleted in the CRM (3J): always."""
    return True
