"""What others may want to hear of; sent in the transaction of the change."""

from django.dispatch import Signal

#: A mailbox changed hands: `mailbox`, and the `former` user who answered for it, or None.
mailbox_taken_over = Signal()
