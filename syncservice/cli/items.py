"""`syncservice items`: a mailbox's appointments, contacts and tasks, and what people decide."""

import json
from typing import Any
from uuid import UUID

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.output import as_json_option, limit_option, newest, show_rows
from syncservice.cli.records import mailbox_at

#: Words on the command line, and what `mailboxes.item_questions` calls them.
QUESTIONS = {
    "first": "first_synchronization",
    "deletions": "mass_deletion",
    "conflicts": "scheduling_conflict",
    "duplicates": "duplicate_contact",
    "elsewhere": "linked_elsewhere",
}
STATES = ("wanted", "creating", "waiting", "linked", "unlinked", "deleted", "refused")

address_argument = click.argument("address")


@click.group()
def items() -> None:
    """Appointments, contacts and tasks of a mailbox, kept in step with the CRM's."""


@items.command()
@address_argument
@as_json_option
def status(address: str, as_json: bool) -> None:
    """Show how the kinds of items of the mailbox ADDRESS stand, and what is asked."""
    set_up_django()
    from syncservice.alerts import item_requests
    from syncservice.alerts.catalogue import entry_of
    from syncservice.console.items import PLANNED, kinds

    box = mailbox_at(address)
    words = {question: word for word, question in QUESTIONS.items()}
    asked = item_requests.asked(box)
    questions = [
        {
            "question": words[question],
            "number": number,
            "meaning": str(entry_of(item_requests.code_of(question)).meaning),
        }
        for question, number in asked.items()
    ]
    rows = [
        {
            "kind": kind.kind,
            "first_synchronization": kind.progress.first,
            "plan": {
                name: kind.progress.plan[name]
                for name in (*PLANNED, "reason")
                if name in kind.progress.plan
            },
            "links": {state.value: number for state, number in kind.links.items()},
            "due": kind.due,
            "failed": kind.failed,
            "questions": kind.asked,
        }
        for kind in kinds(box)
    ]
    if as_json:
        click.echo(json.dumps({"kinds": rows, "questions": questions}, default=str, indent=2))
        return
    show_rows(
        [{**row, "plan": _in_words(row["plan"]), "links": _in_words(row["links"])} for row in rows],
        as_json=False,
    )
    for one in questions:
        click.echo(
            f"{one['meaning']} ({one['number']}) "
            f"Answer with `syncservice items answer {address} {one['question']} yes|no`"
        )


def _in_words(facts: Any) -> str:
    return "; ".join(f"{name.replace('_', ' ')} {said}" for name, said in facts.items() if said)


@items.command("list")
@address_argument
@click.option("--state", type=click.Choice(STATES))
@click.option("--failed", is_flag=True, help="Those whose last attempt failed.")
@limit_option
@as_json_option
def list_items(address: str, state: str | None, failed: bool, limit: int, as_json: bool) -> None:
    """List what the mailbox ADDRESS has to do with, the newest first: which record, and why."""
    set_up_django()
    from syncservice.alerts.item_failures import MASK
    from syncservice.mailboxes.models import ItemLink

    links = ItemLink.objects.filter(mailbox=mailbox_at(address)).order_by("-pk")
    if state:
        links = links.filter(state=state)
    if failed:
        links = links.exclude(fault_code="")
    rows = []
    for link in newest(links, limit):
        row: dict[str, Any] = {
            "kind": link.kind,
            "key": link.key,
            "state": link.state,
            "subject": MASK,  # for its owner's eyes only
            "due": link.due_at,
            "attempts": link.attempts,
            "question": link.question if link.answer is None else "",
            "fault": link.fault_text,
            "code": link.fault_code,
        }
        if as_json:
            row |= {"item_id": link.item_id, "uid": link.uid, "linked": link.linked_at}
        rows.append(row)
    show_rows(rows, as_json)


@items.command()
@address_argument
@click.option("--fresh", is_flag=True, help="Have it looked at anew, by the next visit.")
@as_json_option
def plan(address: str, fresh: bool, as_json: bool) -> None:
    """Show what the first synchronization of the mailbox ADDRESS would do, or has done."""
    set_up_django()
    from syncservice.alerts import item_requests
    from syncservice.console.items import PLANNED, kinds
    from syncservice.mailboxes import audit

    box = mailbox_at(address)
    if fresh:
        number = item_requests.look_anew(box, audit.COMMAND_LINE)
        click.echo(f"{number} kinds are looked at anew by the next visit, which is now", err=True)
    show_rows(
        [
            {
                "kind": kind.kind,
                "first_synchronization": kind.progress.first,
                **{name: kind.progress.plan.get(name) for name in PLANNED},
                "why_it_asks": kind.progress.plan.get("reason", ""),
                "looked_at": kind.progress.planned_at,
            }
            for kind in kinds(box)
        ],
        as_json,
    )


@items.command()
@address_argument
@click.argument("question", type=click.Choice(list(QUESTIONS)))
@click.argument("reply", type=click.Choice(["yes", "no"]))
@click.option("--item", type=int, help="Of duplicates: this one, as `items duplicates` numbers it.")
@click.option("--record", type=click.UUID, help="With no: the key of the contact that it is.")
def answer(address: str, question: str, reply: str, item: int | None, record: UUID | None) -> None:
    """Answer what is asked of the mailbox ADDRESS; the next visit obeys.

    Of duplicates, yes makes a new record and no joins the contact with the one that it is like.
    """
    if item is not None and question != "duplicates":
        raise click.UsageError("only duplicates are answered one by one")
    if record is not None and (item is None or reply == "yes"):
        raise click.UsageError("--record goes with --item and no")
    set_up_django()
    from syncservice.alerts import item_requests
    from syncservice.mailboxes import audit
    from syncservice.mailboxes.item_questions import Question

    box = mailbox_at(address)
    if item is None:
        asked = Question(QUESTIONS[question])
        item_requests.answer(box, asked, reply == "yes", audit.COMMAND_LINE)
    else:
        if reply == "no":
            record = record or item_requests.only_candidate(box, item)
        item_requests.decide_duplicate(box, item, record, audit.COMMAND_LINE)
    click.echo(f"Answered {reply}")


@items.command()
@address_argument
@limit_option
@as_json_option
def duplicates(address: str, limit: int, as_json: bool) -> None:
    """List contacts of the mailbox ADDRESS that the CRM may have already, and as which records.

    `items answer ADDRESS duplicates` decides about all of them, or about one ITEM.
    """
    set_up_django()
    from syncservice.alerts.item_failures import MASK
    from syncservice.console import duplicates as found

    rows: list[dict[str, Any]] = []
    for one in found.named(newest(found.waiting(mailbox_at(address)), limit)):
        # Its own name is for its owner's eyes only; the records are everybody's.
        contact: dict[str, Any] = {"item": one.number, "subject": MASK}
        alike: list[dict[str, Any]] = [
            {
                "record": record.key,
                "name": record.name,
                "addresses": record.addresses if as_json else ", ".join(record.addresses),
                "owner": record.owner,
                "alike": record.likeness,
            }
            for record in one.records
        ]
        if as_json:
            rows.append(contact | {"records": alike})
        else:
            nobody = dict.fromkeys(("record", "name", "addresses", "owner", "alike"), "")
            rows += [contact | record for record in alike or [nobody]]
    show_rows(rows, as_json)


@items.command()
@address_argument
def retry(address: str) -> None:
    """Try again what failed in the mailbox ADDRESS, from now on as often as if it were new."""
    set_up_django()
    from syncservice.alerts import item_requests
    from syncservice.mailboxes import audit

    number = item_requests.retry(mailbox_at(address), audit.COMMAND_LINE)
    click.echo(f"{number} items are tried again now")


@items.command()
@click.argument("address", required=False)
@limit_option
@as_json_option
def conflicts(address: str | None, limit: int, as_json: bool) -> None:
    """List values that both sides had changed, of the mailbox ADDRESS or of all; which was kept."""
    set_up_django()
    from syncservice.console.item_wording import text_of
    from syncservice.console.items import conflicts as found

    rows: list[dict[str, Any]] = []
    for one in newest(found(mailbox_at(address) if address else None), limit):
        facts: dict[str, Any] = {
            "id": one.pk,
            "mailbox": one.link.mailbox.email_address,
            "kind": one.link.kind,
            "value": one.name,
            "crm": one.crm if as_json else text_of(one.crm),
            "exchange": one.exchange if as_json else text_of(one.exchange),
            "kept": one.winner,
            "found": one.found_at,
            "reversed": one.reversed_at,
            "reversed_by": one.reversed_by,
        }
        if as_json:
            facts |= {"key": one.link.key, "base": one.base}
        rows.append(facts)
    show_rows(rows, as_json)


@items.command()
@click.argument("conflict_id", type=int)
def reverse(conflict_id: int) -> None:
    """Give the record of CONFLICT_ID the value that had lost; it then travels to the mailbox."""
    set_up_django()
    from syncservice.mailboxes import audit
    from syncservice.sync.items import reversal

    reversal.reverse(conflict_id, audit.COMMAND_LINE)
    click.echo("The record has the other value; the next visit carries it to the mailbox")


@items.command()
@address_argument
@click.option("--visit", type=int, help="Every entry of this visit.")
@limit_option
@as_json_option
def journal(address: str, visit: int | None, limit: int, as_json: bool) -> None:
    """Show what the visits of the mailbox ADDRESS did, and what came of undoing it."""
    set_up_django()
    from syncservice.console.items import visits

    box = mailbox_at(address)
    if visit is not None:
        _show_entries(box, visit, limit, as_json)
        return
    show_rows(
        [
            {
                "visit": one.number,
                "at": one.ended_at,
                "did": [f"{kind}: {action} {number}" for kind, action, number in one.did]
                if as_json
                else "; ".join(f"{kind}: {action} {number}" for kind, action, number in one.did),
                "entries": one.entries,
                "to_be_undone": one.asked - one.undone - one.refused,
                "undone": one.undone,
                "not_undone": one.refused,
            }
            for one in visits(box, limit)
        ],
        as_json,
    )


def _show_entries(box: Any, visit: int, limit: int, as_json: bool) -> None:
    from syncservice.alerts.item_failures import MASK
    from syncservice.console.items import changed_names, entries

    found = list(entries(box, visit)[: limit + 1])
    if not found:
        raise click.UsageError(
            f"visit {visit} is not in the journal; see `syncservice items journal {box}`"
        )
    if len(found) > limit:
        click.echo(f"only the first {limit} are listed; --limit lists more", err=True)
    show_rows(
        [
            {
                "at": entry.at,
                "kind": entry.kind,
                "key": entry.key,
                "subject": MASK,  # for its owner's eyes only
                "did": str(entry.get_action_display()),
                "values": ", ".join(changed_names(entry)),
                "undoing_asked": entry.undo_asked_at,
                "undone": entry.undone_at if not entry.undo_text else None,
                "not_undone": entry.undo_text,
            }
            for entry in found[:limit]
        ],
        as_json,
    )


@items.command()
@address_argument
@click.argument("visit", type=int)
def undo(address: str, visit: int) -> None:
    """Undo what a VISIT of the mailbox ADDRESS did, as `items journal` numbers it."""
    set_up_django()
    from syncservice.alerts import item_requests
    from syncservice.mailboxes import audit

    number = item_requests.undo(mailbox_at(address), visit, audit.COMMAND_LINE)
    click.echo(
        f"{number} entries are undone by the next visit, which is now; "
        f"see `syncservice items journal {address}`"
    )
