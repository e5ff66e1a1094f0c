"""`syncservice keys`: keys that encrypt stored passwords."""

import click
from cryptography.fernet import Fernet

from syncservice.cli.django_setup import set_up_django


@click.group()
def keys() -> None:
    """Keys that encrypt stored passwords."""


@keys.command()
def new() -> None:
    """Print a new key for CREDENTIAL_KEYS or SECRET_KEY."""
    click.echo(Fernet.generate_key().decode())


@keys.command()
def rotate() -> None:
    """Encrypt every stored password with the first of CREDENTIAL_KEYS.

    To change keys: put a new one (`syncservice keys new`) before the others in CREDENTIAL_KEYS,
    restart every process, run this, then take the old ones out. With keys kept in DATA_FOLDER a new
    one is made and put first by this command itself.
    """
    set_up_django()
    from syncservice.mailboxes import encryption

    if encryption.put_new_key_first():
        click.echo("Made a new key; restart the service so that every process knows it.")
    count = encryption.rotate()
    click.echo(f"{count} passwords are encrypted with the first key now; the others may be removed")
