"""What commands print: tables and sheets for people, JSON for machines."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

#: A worker takes what is asked for within seconds; one that hasn't by then isn't there.
PATIENCE_SECONDS = 60

as_json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")


limit_option = click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1), help="Rows at most."
)


def newest(rows: Any, limit: int) -> list[Any]:
    """Return the first `limit` rows of a query, and say so when there are more."""
    found = list(rows[: limit + 1])
    if len(found) > limit:
        click.echo(f"only the newest {limit} are listed; --limit lists more", err=True)
    return found[:limit]


def show_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as a table for people, or as JSON for machines."""
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
        return
    if not rows:
        click.echo("none")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    Console().print(table)


def show_sheet(facts: dict[str, Any], as_json: bool) -> None:
    """Print one record, a line a fact; JSON for machines."""
    if as_json:
        click.echo(json.dumps(facts, default=str, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        lines = [cell(one) for one in value] if isinstance(value, list) else [cell(value)]
        for number, line in enumerate(lines or [""]):
            label = name.replace("_", " ") if number == 0 else ""
            click.echo(f"{label:<{width}}  {line}")


def cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value or "")


def read_password() -> str:
    """Ask for a password without showing it; one that is piped in is read from its first line."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True))
    return sys.stdin.readline().rstrip("\n")


def wait_for_worker(left: Callable[[], int], *, has_begun: Callable[[], bool]) -> None:
    """Wait until nothing is left; give up with a sentence when no worker begins in a minute."""
    patience = time.monotonic() + PATIENCE_SECONDS
    begun = False
    while number := left():
        begun = begun or has_begun()
        if not begun and time.monotonic() > patience:
            raise click.ClickException(
                "no worker has begun with it yet; see that one serves the queue async_operations. "
                "It stays asked for"
            )
        click.echo(f"\r{number} to come ", nl=False, err=True)
        time.sleep(0.5)
    click.echo("\r", nl=False, err=True)
