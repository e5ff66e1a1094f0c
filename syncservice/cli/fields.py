"""`syncservice fields`: which value of a record travels which way, and who wins."""

from typing import Any

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.output import as_json_option, show_rows

#: Words on the command line, and the names of `domain.field_map.Direction`.
DIRECTIONS = {"both": "BOTH", "to-exchange": "TO_EXCHANGE", "to-crm": "TO_CRM", "none": "NONE"}
POLICIES = ("later", "crm", "exchange")
RECORD_TYPES = (
    *("appointment", "recurring_appointment", "service_activity", "contact"),
    *("task", "phone_call", "letter", "fax"),
)
#: Says that nothing is chosen any more.
_DEFAULT = "default"


@click.group(invoke_without_command=True)
@click.option("--type", "record_type", type=click.Choice(RECORD_TYPES), help="Of these records.")
@as_json_option
@click.pass_context
def fields(context: click.Context, record_type: str | None, as_json: bool) -> None:
    """Which values travel which way, and who wins; without a command, list it."""
    if context.invoked_subcommand is not None:
        return
    set_up_django()
    from syncservice.domain.field_map import BY_NAME
    from syncservice.mailboxes.models import FieldSetting

    chosen = {row.mapping: row for row in FieldSetting.objects.all()}
    rows: list[dict[str, Any]] = []
    for mapping in BY_NAME.values():
        if record_type in (None, mapping.record_type.value):
            row = chosen.get(mapping.name)
            rows.append(
                {
                    "mapping": mapping.name,
                    "crm": mapping.crm_name,
                    "exchange": mapping.exchange_name,
                    "default": _word(mapping.default.name),
                    "allowed": ", ".join(
                        word
                        for word, name in DIRECTIONS.items()
                        if name in {direction.name for direction in mapping.allowed}
                    ),
                    "direction": _word(row.direction) if row else "",
                    "policy": row.policy if row else "",
                    "setting": mapping.switch.name.lower() if mapping.switch else "",
                }
            )
    show_rows(rows, as_json)


def _word(name: str | None) -> str:
    return next((word for word, known in DIRECTIONS.items() if known == name), "")


@fields.command("set")
@click.argument("mapping")
@click.option("--direction", type=click.Choice([*DIRECTIONS, _DEFAULT]))
@click.option(
    "--policy", type=click.Choice([*POLICIES, _DEFAULT]), help="Who wins when both sides changed."
)
def set_field(mapping: str, direction: str | None, policy: str | None) -> None:
    """Choose for MAPPING, as `syncservice fields` names it; visits obey from the next on."""
    if direction is None and policy is None:
        raise click.UsageError("give --direction or --policy")
    set_up_django()
    from syncservice.domain.field_map import Direction
    from syncservice.domain.merge import Policy
    from syncservice.mailboxes import audit, field_settings

    field_settings.choose(
        mapping,
        audit.COMMAND_LINE,
        direction=Direction[DIRECTIONS[direction]] if direction in DIRECTIONS else None,
        policy=Policy(policy) if policy in POLICIES else None,
        resets_direction=direction == _DEFAULT,
        resets_policy=policy == _DEFAULT,
    )
    click.echo(f"Saved {mapping}")
