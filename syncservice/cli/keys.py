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
    restart every process, run this, then take the old ones out. With keys kept in DATA_FOLDER this
    makes the new key itself: run it, restart the service, and run it once more.
    """
    set_up_django()
    from syncservice.mailboxes import encryption

    if encryption.may_make_keys() and encryption.is_rotated():
        encryption.put_new_key_first()
        click.echo("Made a new key. Restart the service, so that every process knows it; then")
        click.echo("run `syncservice keys rotate` again to encrypt the stored passwords with it.")
        return
    rotated = encryption.rotate()
    click.echo(f"{rotated.count} passwords are encrypted with the first key now")
    if rotated.lost:
        raise click.ClickException(
            f"no key decrypts the passwords of {', '.join(rotated.lost)}; "
            "enter them again, or restore the key they were stored with"
        )
    click.echo("The other keys may be removed")
