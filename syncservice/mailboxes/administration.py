"""Who synchronizes what with which server: profiles, mailboxes, their owners and approval.

Every change is one transaction, is written down with who made it, and ends with `schedule.plan`:
the records say who is enabled, the schedule follows, and visits in flight lose their fence.
"""

from collections.abc import Iterable
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from syncservice.crm.models import Queue, User
from syncservice.domain.item_values import ItemKind
from syncservice.domain.sending import State
from syncservice.mailboxes import audit, directions, rules, schedule
from syncservice.mailboxes.models import (
    ActMethod,
    Direction,
    Discovery,
    EmailServerProfile,
    FolderCursor,
    IncomingMethod,
    Mailbox,
    MailboxMapping,
    Organisation,
    OutgoingEmail,
    OutgoingMethod,
    SeenAppointment,
)
from syncservice.mailboxes.signals import mailbox_taken_over

log = structlog.get_logger()

Owner = User | Queue
#: Of `OutgoingEmail`: it is not sent yet, or nobody knows.
_IS_OPEN = Q(email__status__in=(State.PENDING, State.SENDING, State.UNKNOWN))
#: The fields of a profile on which depends what its server tells of itself.
_ASKED_WITH = {
    *("server_type", "use_autodiscover", "location", "authentication", "credentials", "username"),
    *("password", "outgoing_authentication", "same_settings_for_outgoing"),
}
#: The fields that make it another server. The ids of Exchange are its own, and it refuses another's
#: cursor; a POP3 or IMAP server may name another message as the former one did (UIDL, UIDs).
_PLACE = {"server_type", "location"}
#: What was passed over for it may be wanted when it changes (F103).
_WATERMARK = "process_email_from"
Approval = Mailbox.Approval


class TakeOverQuestion(Exception):
    """Asked before a mailbox changes hands or an owner leaves another one (F006).

    Whoever asked may answer yes by asking again with `take_over`.
    """

    def __init__(self, mailbox: Mailbox, owner: Owner, holder: Owner | None, left: Mailbox | None):
        super().__init__(mailbox, owner, holder, left)
        self.mailbox = mailbox
        self.owner = owner  # who is to have it
        self.holder = holder  # who has it now; None: nobody
        self.left = left  # the mailbox that the new owner has now; None: none worth a question

    def __str__(self) -> str:
        facts = {"mailbox": self.mailbox, "owner": self.owner, "holder": self.holder}
        facts["left"] = self.left
        sentences = []
        if self.holder is not None:
            sentences.append(_("%(mailbox)s is the mailbox of %(holder)s.") % facts)
        if self.left is not None:
            sentences.append(_("%(owner)s has the mailbox %(left)s.") % facts)
        sentences.append(
            _("Map %(mailbox)s to %(owner)s? That ends the former mapping and its synchronization.")
            % facts
        )
        return " ".join(sentences)


@transaction.atomic
def save_profile(
    name: str, *, actor: str = audit.COMMAND_LINE, **fields: Any
) -> EmailServerProfile:
    """Create or change the profile `name`; raise ValidationError with a sentence a field."""
    profile = EmailServerProfile.objects.filter(name=name).first() or EmailServerProfile(name=name)
    lock_profile(profile)
    changed = [name for name, value in fields.items() if getattr(profile, name) != value]
    if profile.pk and not changed:
        return profile
    for field, value in fields.items():
        setattr(profile, field, value)
    profile.full_clean()
    profile.save()
    profile_changed(profile, actor, changed)
    return profile


def lock_profile(profile: EmailServerProfile) -> None:
    """Begin a change of a profile that is stored: see `schedule.lock`."""
    if profile.pk:
        schedule.lock(profile.mailboxes.values_list("pk", flat=True))


def profile_changed(profile: EmailServerProfile, actor: str, fields: Iterable[str]) -> None:
    """Let the schedule follow a profile that was saved, and write the change down."""
    changed = sorted(fields)
    if not _ASKED_WITH.isdisjoint(changed):
        Discovery.objects.filter(profile=profile).delete()  # the next conversation asks anew
    audit.note(actor, "profile.changed", profile=profile, fields=changed)
    served = list(profile.mailboxes.values_list("pk", flat=True))
    if not profile.is_exchange and not _PLACE.isdisjoint(changed):
        schedule.begin_anew(served)
    if _WATERMARK in changed:
        schedule.list_again(served)
    schedule.plan(served)


@transaction.atomic
def add_mailbox(
    address: str,
    profile: EmailServerProfile,
    *,
    user: User | None = None,
    queue: Queue | None = None,
    take_over: bool = False,
    actor: str = audit.COMMAND_LINE,
    **fields: Any,
) -> Mailbox:
    """Create or change the mailbox `address` of a user or a queue, approved, and read its email.

    Without either, its owner stays, or is the user with this address, made if need be; a forward
    mailbox has none. Raise TakeOverQuestion when it is somebody else's (F006), ValidationError when
    the profile can't serve it.
    """
    await_turn()
    owner = user or queue
    mailbox = Mailbox.objects.filter(email_address__iexact=address).first()
    if owner is None and not fields.get("is_forward") and not (mailbox and owner_of(mailbox)):
        owner = User.objects.filter(email__iexact=address).first() or User.objects.create_user(
            username=address, email=address
        )
        mailbox = Mailbox.objects.filter(email_address__iexact=address).first()  # come with it
    mailbox = mailbox or Mailbox.objects.create(email_address=address, name=address)
    schedule.lock([mailbox.pk])
    mailbox.refresh_from_db()
    given = {"profile": profile, "approval": Approval.APPROVED, **fields}
    is_read = mailbox.directions.filter(is_enabled=True).exists()
    if not is_read and not (owner and _was_anothers(mailbox, owner)):
        given.setdefault("process_email_from", None)  # whoever adds it by hand wants what is there
    if owner is not None:
        map_mailbox(mailbox, owner, take_over=take_over, actor=actor)
        mailbox.refresh_from_db()
    for field, value in given.items():
        setattr(mailbox, field, value)
    mailbox.full_clean()
    mailbox.save()
    directions.ensure([mailbox])
    directions.enable([mailbox.pk], [Direction.Kind.INCOMING], actor)
    schedule.plan([mailbox.pk])
    return mailbox


def owner_of(mailbox: Mailbox) -> Owner | None:
    """Return whose mailbox it is; None: nobody's."""
    mapping = mailbox.mappings.filter(ended_at=None).select_related("user", "queue").first()
    return (mapping.user or mapping.queue) if mapping else None


def mailbox_of(owner: Owner) -> Mailbox | None:
    """Return the mailbox of a user or a queue; None: it has none."""
    mapping = _mappings_of(owner).select_related("mailbox").first()
    return mapping.mailbox if mapping else None


def _mappings_of(owner: Owner) -> Any:
    in_force = MailboxMapping.objects.filter(ended_at=None)
    if isinstance(owner, User):
        return in_force.filter(user=owner)
    return in_force.filter(queue=owner)


def question(mailbox: Mailbox, owner: Owner) -> TakeOverQuestion | None:
    """Return what has to be asked before `owner` gets `mailbox`; None: nothing."""
    holder, left = owner_of(mailbox) if mailbox.pk else None, mailbox_of(owner)
    if left == mailbox:
        return None
    if left is not None and not left.email_address:
        left = None  # it never held anything
    if holder is None and left is None:
        return None
    return TakeOverQuestion(mailbox, owner, holder, left)


def await_turn() -> None:
    """Let changes of hands come one after the other, each to the end of its transaction.

    They touch two mailboxes and two owners: locks of their rows would meet crosswise. To be called
    before a mailbox is written in the same transaction.
    """
    Organisation.current()
    Organisation.objects.select_for_update(no_key=True).get(pk=Organisation.ONLY)


def keep_hands() -> None:
    """Let no mailbox change hands until the transaction ends; to be called before lanes are locked.

    Any number may do so at once: whoever changes hands awaits them all.
    """
    Organisation.current()
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM mailboxes_organisation WHERE id = 1 FOR SHARE")


@transaction.atomic
def map_mailbox(
    mailbox: Mailbox, owner: Owner, *, take_over: bool = False, actor: str = audit.COMMAND_LINE
) -> None:
    """Give a mailbox to a user or a queue; raise TakeOverQuestion when somebody loses by it.

    Taking over ends the former mappings and what was kept in step for them: every direction is
    switched off, a visit in flight loses its fence, credentials that a former owner had entered
    are forgotten, and what the mailbox holds already stays the former owner's. Raise
    ValidationError for a forward mailbox, which belongs to nobody (F090).
    """
    if mailbox.is_forward:
        raise ValidationError({"is_forward": [_("A forward mailbox belongs to nobody.")]})
    await_turn()
    left = mailbox_of(owner)
    schedule.lock([mailbox.pk, *([left.pk] if left else [])])
    if left == mailbox:
        return
    asked = question(mailbox, owner)
    if asked is not None and not take_over:
        raise asked
    holder = owner_of(mailbox)
    forget = _was_anothers(mailbox, owner)
    ended = MailboxMapping.objects.filter(ended_at=None, mailbox__in=[mailbox, left or mailbox])
    ended.update(ended_at=Now())
    waiting = OutgoingEmail.objects.filter(_IS_OPEN, mailbox__in=[mailbox, left or mailbox])
    waiting.update(mailbox=None)  # nobody's email leaves by the mailbox of another
    _end_synchronization(mailbox, forget=forget)
    if isinstance(owner, User):  # F085: email is deleted for queues only
        Mailbox.objects.filter(pk=mailbox.pk).update(delete_after_processing=False)
    if left is not None and left.email_address:
        _end_synchronization(left, forget=False)
    elif left is not None:
        left.delete()
    _map(mailbox, owner)
    if asked is not None:
        audit.note(
            actor,
            "mailbox.taken_over",
            mailbox=mailbox,
            owner=str(owner),
            former_owner=str(holder) if holder else None,
            left=str(asked.left) if asked.left else None,
        )
        former = holder if isinstance(holder, User) else holder and holder.owner
        mailbox_taken_over.send(Mailbox, mailbox=mailbox, former=former)
        if holder is not None:
            provide_mailbox(holder)


def _was_anothers(mailbox: Mailbox, owner: Owner) -> bool:
    """Whether somebody else has, or had, the mailbox."""
    own = Q(user=owner) if isinstance(owner, User) else Q(queue=owner)
    return mailbox.mappings.exclude(own).exists()


def _map(mailbox: Mailbox, owner: Owner) -> None:
    waiting = OutgoingEmail.objects.filter(_IS_OPEN)
    if isinstance(owner, User):
        MailboxMapping.objects.create(mailbox=mailbox, user=owner)
        waiting = waiting.filter(sender_user=owner)
    else:
        MailboxMapping.objects.create(mailbox=mailbox, queue=owner)
        waiting = waiting.filter(sender_queue=owner)
    waiting.update(mailbox=mailbox)  # email goes with its sender, whatever mailbox that is


def _end_synchronization(mailbox: Mailbox, *, forget: bool) -> None:
    """Stop all that is kept in step for a mailbox; `forget`: its next owner is another."""
    directions.disable([mailbox.pk], Direction.Kind, audit.SERVICE)
    schedule.fence_off([mailbox.pk])
    if forget:
        fields: dict[str, Any] = {"username": "", "password": "", "allow_credentials": False}
        Mailbox.objects.filter(pk=mailbox.pk).update(**fields, process_email_from=Now())
        mailbox.declined_items.all().delete()  # they tell who wrote to the former owner
        mailbox.track_requests.all().delete()
        mailbox.tracking_folders.all().delete()
        for rows in (mailbox.item_links, mailbox.item_progress, mailbox.journal):
            rows.all().delete()  # they tell of the former owner's appointments, contacts and tasks
        SeenAppointment.objects.filter(mailbox=mailbox).delete()
        FolderCursor.objects.filter(mailbox=mailbox, folder__in=list(ItemKind)).delete()


def provide_mailbox(owner: Owner) -> Mailbox:
    """Make the mailbox that every user and queue has, with the organisation's defaults (F060).

    A mailbox that nobody owns and that has the owner's address is taken; an address that is
    somebody else's is left empty, for a person to decide.
    """
    present = mailbox_of(owner)
    if present is not None:
        return present
    address = address_of(owner)
    known = Mailbox.objects.filter(email_address__iexact=address).first() if address else None
    if known is not None and owner_of(known) is None and not known.is_forward:
        map_mailbox(known, owner, actor=audit.SERVICE)
        return known
    free = address if known is None else ""
    mailbox = Mailbox(
        name=str(owner),
        email_address=free,
        approval=Approval.PENDING if free else Approval.EMPTY,
        process_email_from=Now(),  # old mail comes only when a person says so (P08)
    )
    _set_defaults(mailbox, Organisation.current())
    mailbox.save()
    directions.ensure([mailbox])
    _map(mailbox, owner)
    schedule.plan([mailbox.pk])
    return mailbox


def _set_defaults(mailbox: Mailbox, organisation: Organisation) -> None:
    """Give a mailbox the organisation's profile, if there is one, and methods.

    What the profile or the mailbox's kind can't do is set to none.
    """
    mailbox.profile = organisation.default_profile or mailbox.profile
    mailbox.incoming_method = organisation.default_incoming
    mailbox.outgoing_method = organisation.default_outgoing
    mailbox.act_method = organisation.default_act
    if mailbox.is_forward:
        mailbox.incoming_method = IncomingMethod.SERVER_SIDE
        mailbox.outgoing_method = OutgoingMethod.NONE
    if mailbox.is_forward or not rules.carries_activities(mailbox.profile):
        mailbox.act_method = ActMethod.NONE


def provide_missing(limit: int) -> int:
    """Make the mailboxes of users and queues that came without (an import, for example).

    At most of `limit` of each; return of how many.
    """
    in_force = MailboxMapping.objects.filter(ended_at=None)
    missing: list[Owner] = [
        *User.objects.exclude(mailboxmapping__in=in_force)[:limit],
        *Queue.objects.exclude(mailboxmapping__in=in_force)[:limit],
    ]
    for owner in missing:
        with transaction.atomic():
            provide_mailbox(owner)
    return len(missing)


def address_of(owner: Owner) -> str:
    return owner.email if isinstance(owner, User) else owner.email_address


@transaction.atomic
def owner_saved(owner: Owner, before: str | None) -> None:
    """Follow a user or queue that was saved; `before`: its address then, None: it is new.

    The mailbox follows the address when the two were the same (F061); an address that another
    mailbox has is left to a person, who will be asked.
    """
    mailbox = mailbox_of(owner) or provide_mailbox(owner)
    schedule.plan([mailbox.pk])  # who was switched off is not kept in step any more (F171)
    address = address_of(owner)
    if before is None or before.lower() == address.lower():
        return
    if mailbox.email_address.lower() != before.lower():
        return
    if address and Mailbox.objects.filter(email_address__iexact=address).exists():
        log.warning("mailbox.address_taken", mailbox_id=mailbox.pk)
        return
    change_address(mailbox, address, audit.SERVICE)


@transaction.atomic
def change_address(mailbox: Mailbox, address: str, actor: str) -> None:
    """Change a mailbox's address, and its owner's with it; it needs approval anew (F061, F067).

    It is another mailbox on the server, so how far it was read is forgotten.
    """
    schedule.lock([mailbox.pk])
    owner, before = owner_of(mailbox), mailbox.email_address
    if address == before:
        return
    mailbox.email_address = address
    mailbox.approval = Approval.PENDING if address else Approval.EMPTY
    others = [field.name for field in Mailbox._meta.fields if field.name != "email_address"]
    mailbox.clean_fields(exclude=others)
    mailbox.validate_constraints(exclude=others)
    mailbox.save(update_fields=["email_address", "approval"])
    if owner is not None and address_of(owner).lower() == before.lower():
        field = "email" if isinstance(owner, User) else "email_address"
        type(owner).objects.filter(pk=owner.pk).update(**{field: address})
    schedule.begin_anew([mailbox.pk])
    schedule.plan([mailbox.pk])
    audit.note(actor, "mailbox.address_changed", mailbox=mailbox)


def may_be_processed(mailbox: Mailbox) -> bool:
    """Whether the address is approved, or needs no approval: `plan.sql` asks the same (F066)."""
    if mailbox.approval == Approval.APPROVED:
        return True
    owner, organisation = owner_of(mailbox), Organisation.current()
    if isinstance(owner, Queue):
        return not organisation.approves_queues
    return not (isinstance(owner, User) and organisation.approves_users)


@transaction.atomic
def decide_approval(mailboxes: Iterable[int], actor: str, *, approved: bool) -> int:
    """Approve or reject the addresses of mailboxes (F066); return how many changed.

    The caller has looked that the actor holds `mailboxes.approve_address`.
    """
    approval = Approval.APPROVED if approved else Approval.REJECTED
    chosen = list(mailboxes)
    schedule.lock(chosen)
    rows = Mailbox.objects.select_for_update(no_key=True).filter(pk__in=chosen).order_by("pk")
    changed = list(rows.exclude(email_address="").exclude(approval=approval).defer("password"))
    ids = [mailbox.pk for mailbox in changed]
    Mailbox.objects.filter(pk__in=ids).update(approval=approval)
    verb = "mailbox.approved" if approved else "mailbox.rejected"
    audit.note_all(audit.change(actor, verb, mailbox=mailbox) for mailbox in changed)
    schedule.plan(ids)
    return len(ids)


@transaction.atomic
def apply_defaults(mailboxes: Iterable[int], actor: str) -> int:
    """Give mailboxes the organisation's profile and methods, and test and enable them (F073).

    Raise ValidationError when it has no default profile: they would be left without one.
    """
    organisation = Organisation.current()
    if organisation.default_profile is None:
        raise ValidationError(
            _("The organisation has no default server profile; choose one in its settings.")
        )
    chosen = list(mailboxes)
    schedule.lock(chosen)
    rows = Mailbox.objects.select_for_update(no_key=True, of=["self"]).filter(pk__in=chosen)
    changed = list(rows.select_related("profile").defer("password").order_by("pk"))
    for mailbox in changed:
        _set_defaults(mailbox, organisation)
    audit.note_all(
        audit.change(actor, "mailbox.defaults_applied", mailbox=mailbox) for mailbox in changed
    )
    methods = ["incoming_method", "outgoing_method", "act_method"]
    Mailbox.objects.bulk_update(changed, ["profile", *methods], batch_size=1000)
    schedule.plan(chosen)
    directions.request_tests(chosen, actor)
    return len(changed)


@transaction.atomic
def change_mailbox(mailbox: Mailbox, actor: str, **fields: Any) -> Mailbox:
    """Change a mailbox's settings; raise ValidationError when its server can't serve it so."""
    schedule.lock([mailbox.pk])
    mailbox = Mailbox.objects.select_for_update(no_key=True).get(pk=mailbox.pk)
    for field, value in fields.items():
        setattr(mailbox, field, value)
    mailbox.full_clean()
    mailbox.save(update_fields=list(fields))
    directions.ensure([mailbox])
    mailbox_changed(mailbox, actor, fields)
    return mailbox


def mailbox_changed(mailbox: Mailbox, actor: str, fields: Iterable[str]) -> None:
    """Let the schedule follow a mailbox that was saved, and write the change down."""
    changed = sorted(fields)
    if _WATERMARK in changed:
        schedule.list_again([mailbox.pk])
    schedule.plan([mailbox.pk])
    audit.note(actor, "mailbox.changed", mailbox=mailbox, fields=changed)


@transaction.atomic
def change_owner(mailbox: Mailbox, actor: str, **fields: Any) -> None:
    """Change what the user or queue of a mailbox wants of its email (F100, F118, F131, F167).

    Raise ValidationError for a mailbox that is nobody's, or for what its owner can't want.
    """
    owner = owner_of(mailbox)
    if owner is None:
        raise ValidationError(_("The mailbox is nobody's: its forwarders say what they want."))
    for field, value in fields.items():
        if not hasattr(owner, field) and field == "lets_others_send":
            raise ValidationError(_("Only a user lets others send; for a queue its owner does."))
        if not hasattr(owner, field) and field == "default_queue":
            raise ValidationError(_("Only a user has a default queue."))
        if not hasattr(owner, field):
            raise ValidationError(_("Only a user can have records made of unknown senders."))
        setattr(owner, field, value)
    owner.save(update_fields=list(fields))
    audit.note(actor, "owner.changed", mailbox=mailbox, fields=sorted(fields))


@transaction.atomic
def change_organisation(actor: str, **fields: Any) -> None:
    """Change settings of the organisation; approval may then matter more, or less."""
    await_turn()
    everybody = Mailbox.objects.values_list("pk", flat=True)
    schedule.lock(everybody)
    organisation = Organisation.current()
    prefix = organisation.token_prefix
    for field, value in fields.items():
        setattr(organisation, field, value)
    organisation.full_clean()
    if organisation.token_prefix != prefix:  # answers to old email bring the old one back (3D)
        kept = dict.fromkeys([*organisation.token_prefixes, prefix])
        organisation.token_prefixes = list(kept)
    organisation.save()
    schedule.plan(everybody)
    audit.note(actor, "organisation.changed", fields=sorted(fields))
