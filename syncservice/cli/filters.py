"""`syncservice filters`: which records of a user go to Exchange."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.output import as_json_option, show_rows, show_sheet
from syncservice.cli.records import user_named

if TYPE_CHECKING:
    from syncservice.crm.models import SyncFilter

ENTITIES = (
    *("appointment", "service_activity", "contact"),
    *("task", "phone_call", "letter", "fax"),
)
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


def whose_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command be about the filters of a user, those of everybody, or the templates."""
    for decorate in (
        click.option("--user", "username", metavar="NAME", help="Of this CRM user."),
        click.option("--system", "is_system", is_flag=True, help="Of everybody."),
        click.option("--template", "is_template", is_flag=True, help="What new users get."),
    ):
        command = decorate(command)
    return command


def _kind(username: str | None, is_system: bool, is_template: bool) -> str | None:
    if bool(username) + is_system + is_template > 1:
        raise click.UsageError("give one of --user, --system and --template")
    if is_system or is_template:
        return "system" if is_system else "template"
    return "user" if username else None


@click.group()
def filters() -> None:
    """Filters: the records of a user that go to Exchange."""


@filters.command("list")
@whose_options
@as_json_option
def list_filters(username: str | None, is_system: bool, is_template: bool, as_json: bool) -> None:
    """List filters; without an option all."""
    kind = _kind(username, is_system, is_template)
    set_up_django()
    from syncservice.crm.models import SyncFilter

    rows = SyncFilter.objects.select_related("user").order_by("kind", "user", "entity", "pk")
    if kind:
        rows = rows.filter(kind=kind)
    if username:
        rows = rows.filter(user=user_named(username))
    show_rows([_facts(row) for row in rows], as_json)


def _facts(row: "SyncFilter") -> dict[str, Any]:
    return {
        "id": row.pk,
        "kind": row.kind,
        "user": row.user.username if row.user else "",
        "records": row.entity,
        "name": row.name,
        "active": row.is_active,
        "for_new_users": row.is_default,
    }


@filters.command()
@click.argument("filter_id", type=int)
@as_json_option
def show(filter_id: int, as_json: bool) -> None:
    """Show the filter FILTER_ID and its criteria."""
    set_up_django()
    found = _filter(filter_id)
    criteria = found.criteria if as_json else json.dumps(found.criteria, ensure_ascii=False)
    show_sheet({**_facts(found), "criteria": criteria}, as_json)


criteria_option = click.option(
    "--criteria", type=_FILE, help="A file with the criteria as JSON; - reads standard input."
)
default_option = click.option(
    "--for-new-users/--not-for-new-users", "is_default", default=None, help="Of a template."
)


@filters.command()
@click.argument("entity", type=click.Choice(ENTITIES))
@click.argument("name")
@whose_options
@click.option(
    "--criteria",
    type=_FILE,
    required=True,
    help="A file with the criteria as JSON; - reads standard input.",
)
@default_option
@click.option("--inactive", is_flag=True)
def add(
    entity: str,
    name: str,
    username: str | None,
    is_system: bool,
    is_template: bool,
    criteria: Path,
    is_default: bool | None,
    inactive: bool,
) -> None:
    """Add a filter NAME for records of ENTITY; print its id."""
    kind = _kind(username, is_system, is_template)
    if kind is None:
        raise click.UsageError("give one of --user, --system and --template")
    set_up_django()
    from syncservice.crm.models import SyncFilter
    from syncservice.mailboxes import audit, sync_filters

    made = SyncFilter(
        kind=kind,
        user=user_named(username) if username else None,
        entity=entity,
        name=name,
        criteria=_read(criteria),
        is_active=not inactive,
        is_default=bool(is_default),
    )
    sync_filters.save(made, audit.COMMAND_LINE)
    click.echo(str(made.pk))


@filters.command()
@click.argument("filter_id", type=int)
@click.option("--name")
@criteria_option
@default_option
def change(
    filter_id: int, name: str | None, criteria: Path | None, is_default: bool | None
) -> None:
    """Change the filter FILTER_ID."""
    set_up_django()
    from syncservice.mailboxes import audit, sync_filters

    found = _filter(filter_id)
    if name is not None:
        found.name = name
    if criteria is not None:
        found.criteria = _read(criteria)
    if is_default is not None:
        found.is_default = is_default
    sync_filters.save(found, audit.COMMAND_LINE)
    click.echo(f"Saved {found.name}")


@filters.command()
@click.argument("filter_id", type=int)
def remove(filter_id: int) -> None:
    """Delete the filter FILTER_ID; what it alone selected is kept in step no longer."""
    set_up_django()
    from syncservice.mailboxes import audit, sync_filters

    found = _filter(filter_id)
    sync_filters.remove(found, audit.COMMAND_LINE)
    click.echo(f"Removed {found.name}")


@filters.command()
@click.argument("filter_ids", type=int, nargs=-1, required=True)
def activate(filter_ids: tuple[int, ...]) -> None:
    """Let filters select records again."""
    _switch(filter_ids, is_active=True)


@filters.command()
@click.argument("filter_ids", type=int, nargs=-1, required=True)
def deactivate(filter_ids: tuple[int, ...]) -> None:
    """Let filters select nothing; what they alone selected is kept in step no longer."""
    _switch(filter_ids, is_active=False)


def _switch(filter_ids: tuple[int, ...], *, is_active: bool) -> None:
    set_up_django()
    from django.db import transaction

    from syncservice.mailboxes import audit, sync_filters

    with transaction.atomic():
        for found in [_filter(filter_id) for filter_id in filter_ids]:
            found.is_active = is_active
            sync_filters.save(found, audit.COMMAND_LINE)
    click.echo(f"{len(filter_ids)} filters are switched {'on' if is_active else 'off'}")


@filters.command()
@click.option("--user", "username", metavar="NAME", required=True)
@click.argument("template_ids", type=int, nargs=-1)
def give(username: str, template_ids: tuple[int, ...]) -> None:
    """Give a user copies of the templates TEMPLATE_IDS, or of those for new users."""
    set_up_django()
    from syncservice.mailboxes import audit, sync_filters

    chosen = [_filter(template_id) for template_id in template_ids]
    sync_filters.give(user_named(username), audit.COMMAND_LINE, *chosen)
    click.echo(f"{username} has the filters; those of the same templates were replaced")


@filters.command()
@click.option("--user", "username", metavar="NAME", required=True)
def reset(username: str) -> None:
    """Give a user the filters of new users in the place of all own ones."""
    set_up_django()
    from syncservice.mailboxes import audit, sync_filters

    sync_filters.reset(user_named(username), audit.COMMAND_LINE)
    click.echo(f"{username} has the filters of new users")


@filters.command()
@click.option("--user", "username", metavar="NAME", required=True)
@as_json_option
def preview(username: str, as_json: bool) -> None:
    """Count what the filters of a user, and of everybody, select for that user."""
    set_up_django()
    from django.db.models import Q

    from syncservice.crm import filtering
    from syncservice.crm.models import SyncFilter
    from syncservice.domain.filters import Entity
    from syncservice.domain.item_values import ItemKind

    user = user_named(username)
    mine = SyncFilter.objects.filter(
        Q(kind=SyncFilter.Kind.USER, user=user) | Q(kind=SyncFilter.Kind.SYSTEM), is_active=True
    )
    show_rows(
        [
            {
                "items": kind.value,
                "filters": mine.filter(
                    entity__in=[entity for entity in Entity if entity.kind is kind]
                ).count(),
                "records": filtering.selected(kind, user).count(),
            }
            for kind in ItemKind
        ],
        as_json,
    )


def _filter(filter_id: int) -> "SyncFilter":
    from syncservice.crm.models import SyncFilter

    found = SyncFilter.objects.select_related("user").filter(pk=filter_id).first()
    if found is None:
        raise click.UsageError(f"there is no filter {filter_id}; see `syncservice filters list`")
    return found


def _read(path: Path) -> Any:
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"the criteria are no JSON: {error}") from error
