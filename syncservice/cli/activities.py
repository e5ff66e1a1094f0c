"""`syncservice appointment` and `task`: write, change and delete the records themselves."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.item_records import (
    change_record,
    delete_record,
    make_record,
    person,
    record_with_key,
    show_record,
    text_options,
    user_of,
)
from syncservice.cli.output import as_json_option, limit_option, newest, show_rows
from syncservice.cli.records import record_at, user_named

IMPORTANCE = ("low", "normal", "high")
SHOWN = ("free", "tentative", "busy", "out_of_office")
STATUSES = ("not_started", "in_progress", "waiting", "deferred", "completed")
_DAY = click.DateTime(["%Y-%m-%d"])

owner_option = click.option("--owner", metavar="NAME", help="CRM user who has it.")
about_option = click.option(
    "--about", metavar="KIND:ID", help="What it is about: account:1, contact:1 or lead:1."
)
importance_option = click.option("--importance", type=click.Choice(IMPORTANCE))


def _with(options: Sequence[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command options, which its help lists in this order."""
    for decorate in reversed(options):
        command = decorate(command)
    return command


@click.group()
def appointment() -> None:
    """Appointments of the CRM."""


def appointment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each value of an appointment."""
    options: tuple[Callable[..., Any], ...] = (
        text_options("subject", "location", "body"),
        click.option("--start", type=click.DateTime(), help="On the clock of --zone."),
        click.option("--end", type=click.DateTime()),
        click.option("--all-day/--not-all-day", default=None, help="Whole days; the last excluded"),
        click.option("--zone", help="Time zone, as Europe/Berlin; else the owner's, or UTC."),
        click.option("--organizer", help="As in a header: Ann <ann@example.com>."),
        click.option("--required", multiple=True, help="An attendee who has to come; repeatable."),
        click.option("--optional", multiple=True, help="One who may; repeatable."),
        click.option("--show-as", type=click.Choice(SHOWN)),
        click.option("--recurrence", help="A series, as JSON: pattern, interval, weekdays, …"),
        click.option("--reminder", type=click.IntRange(0), help="Minutes before the start."),
        importance_option,
        about_option,
    )
    return _with(options, command)


@appointment.command("add")
@owner_option
@appointment_options
def add_appointment(owner: str | None, **given: Any) -> None:
    """Write an appointment; print its key. It goes where filters send it, from the organizer on."""
    if given["start"] is None or given["end"] is None:
        raise click.UsageError("give --start and --end")
    set_up_django()
    organizer = person(given["organizer"]) if given["organizer"] else None
    user = user_named(owner) if owner else user_of(organizer["address"] if organizer else "")
    click.echo(str(make_record("appointment", _appointment_values(given, None, user), user)))


@appointment.command("set")
@click.argument("key", type=click.UUID)
@appointment_options
def set_appointment(key: UUID, **given: Any) -> None:
    """Change the appointment KEY; attendees that are named take the place of all former ones."""
    set_up_django()
    before, user = record_with_key("appointment", key)
    change_record("appointment", key, _appointment_values(given, before, user))


@appointment.command("cancel")
@click.argument("key", type=click.UUID)
def cancel_appointment(key: UUID) -> None:
    """Call the appointment KEY off; it stays as a record."""
    set_up_django()
    from syncservice.crm.models import Appointment

    record_with_key("appointment", key)
    found = Appointment.objects.get(pk=key)
    found.status = Appointment.Status.CANCELED
    found.save(update_fields=["status"])
    click.echo("Called off")


def _appointment_values(given: dict[str, Any], before: Any, user: Any) -> dict[str, Any]:
    values = _plain(given, "subject", "location", "body", "importance", "show_as", "reminder")
    about = given["about"]
    if about is not None:
        record_at(about)
        values["regarding"] = about.lower()
    for name in ("required", "optional"):
        if given[name]:
            people = {one["address"]: one for one in map(person, given[name])}
            values[name] = [people[address] for address in sorted(people)]
    if given["organizer"]:
        values["organizer"] = person(given["organizer"])
    if any(given[name] is not None for name in ("start", "end", "all_day", "zone")):
        values["time"] = _time(given, before["time"] if before else None, user)
    if given["recurrence"] is not None:
        time = values.get("time") or before["time"]
        values["recurrence"] = _recurrence(given["recurrence"], time)
    return values


def _time(given: dict[str, Any], before: dict[str, Any] | None, user: Any) -> dict[str, Any]:
    """Return the time that is asked for; what is not said stays as before."""
    from syncservice.domain.time_zones import clock_of, is_known

    zone = given["zone"] or (before["zone"] if before else user.time_zone)
    if zone and not is_known(zone):
        raise click.UsageError(f"nobody knows the time zone {zone!r}; write one as Europe/Berlin")
    said = {}
    for name in ("start", "end"):
        moment: datetime | None = given[name]
        if moment is None:
            assert before is not None, "both are given for a new appointment"
            said[name] = before[name]
        else:
            there = moment.replace(tzinfo=clock_of(zone)).astimezone(UTC)
            said[name] = f"{there:%Y-%m-%dT%H:%M:%SZ}"
    if said["end"] < said["start"]:
        raise click.UsageError("it ends before it starts")
    all_day = given["all_day"]
    if all_day is None:
        all_day = bool(before and before["all_day"])
    return {**said, "all_day": all_day, "zone": zone or ""}


def _recurrence(text: str, time: dict[str, Any]) -> dict[str, Any]:
    from syncservice.domain.recurrence import Recurrence
    from syncservice.domain.time_zones import clock_of

    first = datetime.fromisoformat(time["start"]).astimezone(clock_of(time["zone"]))
    try:
        value = {"starts_on": f"{first:%Y-%m-%d}", **json.loads(text)}
        return Recurrence.of_value(value).as_value()
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"the recurrence can't be read: {error}") from error


@click.group()
def task() -> None:
    """Tasks of the CRM."""


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each value of a task."""
    options: tuple[Callable[..., Any], ...] = (
        text_options("subject", "notes"),
        click.option("--start", type=_DAY),
        click.option("--due", type=_DAY),
        click.option("--status", type=click.Choice(STATUSES)),
        click.option("--percent-complete", type=click.IntRange(0, 100)),
        importance_option,
        about_option,
    )
    return _with(options, command)


@task.command("add")
@click.option("--owner", metavar="NAME", required=True, help="CRM user who has it.")
@task_options
def add_task(owner: str, **given: Any) -> None:
    """Write a task; print its key."""
    set_up_django()
    click.echo(str(make_record("task", _task_values(given), user_named(owner))))


@task.command("set")
@click.argument("key", type=click.UUID)
@task_options
def set_task(key: UUID, **given: Any) -> None:
    """Change the task KEY."""
    set_up_django()
    record_with_key("task", key)
    change_record("task", key, _task_values(given))


def _task_values(given: dict[str, Any]) -> dict[str, Any]:
    values = _plain(given, "subject", "notes", "importance", "status", "percent_complete")
    if given["about"] is not None:
        record_at(given["about"])
        values["regarding"] = given["about"].lower()
    return values | {
        name: f"{given[name]:%Y-%m-%d}" for name in ("start", "due") if given[name] is not None
    }


def _plain(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if given[name] is not None}


def _list(model: str, owner: str | None, limit: int, as_json: bool, facts: Sequence[str]) -> None:
    from syncservice.crm.models import Appointment, Task

    models: dict[str, Any] = {"appointment": Appointment, "task": Task}
    rows = models[model].objects.select_related("owner")
    if owner:
        rows = rows.filter(owner=user_named(owner))
    show_rows(
        [
            {
                "key": row.pk,
                "subject": row.subject,
                **{name: getattr(row, name) for name in facts},
                "state": str(row.state.label),
                "owner": row.owner.username if row.owner else "",
            }
            for row in newest(rows.order_by("-created_at", "-pk"), limit)
        ],
        as_json,
    )


def _add_common(group: click.Group, kind: str, facts: Sequence[str]) -> None:
    """Let both groups list, show and delete."""

    @group.command("list", help=f"List each {kind}, the newest first.")
    @owner_option
    @limit_option
    @as_json_option
    def list_records(owner: str | None, limit: int, as_json: bool) -> None:
        set_up_django()
        _list(kind, owner, limit, as_json, facts)

    @group.command("show", help=f"Show the {kind} KEY, and in which mailboxes it is.")
    @click.argument("key", type=click.UUID)
    @as_json_option
    def show(key: UUID, as_json: bool) -> None:
        set_up_django()
        show_record(kind, key, as_json)

    @group.command("delete", help=f"Delete the {kind} KEY; rules say what becomes of its items.")
    @click.argument("key", type=click.UUID)
    def delete(key: UUID) -> None:
        set_up_django()
        delete_record(kind, key)


_add_common(appointment, "appointment", ("starts_at", "ends_at"))
_add_common(task, "task", ("due_at",))
