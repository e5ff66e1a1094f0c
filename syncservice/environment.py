"""Reads one environment variable at a time, typed and checked, for `settings.py` alone.

A wrong value is refused with the variable's name and what was expected: the operator who
reads the sentence should be able to mend it without opening the source.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str) -> str:
    """Return the variable, or `default` when it is unset or empty."""
    return str(env.str(name, default="") or default)


def boolean(name: str, default: bool) -> bool:
    raw = text(name, str(default)).lower()
    if raw in _TRUE | _FALSE:
        return raw in _TRUE
    raise ImproperlyConfigured(f"{name}: expected true or false, got {raw!r}")


def integer(name: str, default: int, *, least: int, most: int, unit: str) -> int:
    """Return a whole number of `unit` between `least` and `most`, both included."""
    raw = text(name, str(default))
    try:
        value = int(raw)
    except ValueError:
        value = least - 1
    if least <= value <= most:
        return value
    raise ImproperlyConfigured(
        f"{name}: expected a whole number of {unit} from {least} to {most}, got {raw!r}"
    )


def seconds(name: str, default: float, *, least: float, most: float) -> timedelta:
    """Return a duration; the variable's name says that it is in seconds."""
    raw = text(name, str(default))
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if least <= value <= most:
        return timedelta(seconds=value)
    raise ImproperlyConfigured(
        f"{name}: expected a number of seconds from {least:g} to {most:g}, got {raw!r}"
    )


def url(name: str, default: str, *, schemes: tuple[str, ...]) -> str:
    """Return a URL of one of `schemes` that names a host, or '' when unset without a default."""
    raw = text(name, default)
    if not raw:
        return ""
    try:
        parts = urlsplit(raw)
        well_formed = parts.scheme in schemes and (parts.hostname or parts.query)
    except ValueError:
        well_formed = False
    if well_formed:
        return raw
    # The value is not repeated: it may hold a password.
    raise ImproperlyConfigured(f"{name}: expected a URL that begins with {schemes[0]}://")


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    raw = text(name, default).lower()
    if raw in allowed:
        return raw
    raise ImproperlyConfigured(f"{name}: expected one of {', '.join(allowed)}, got {raw!r}")


def names(name: str, default: str) -> list[str]:
    """Return a list of names separated by commas."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def kept_key(name: str, folder: Path, *, may_create: bool) -> list[str]:
    """Return secret keys from the variable (commas between), else from a private file in `folder`.

    With `may_create` (everything on one machine) a first key is made and kept in the file. On a
    cluster every process needs the same key, so there the variable is required.
    """
    given = names(name, "")
    if given:
        return given
    file = folder / name.lower()
    if file.exists():
        return file.read_text().split()
    if not may_create:
        raise ImproperlyConfigured(
            f"{name}: not set; DATABASE_URL is, so every process needs the same key: "
            f"set {name} (make one with `syncservice keys new`)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Written aside and linked into place: of several processes that start at once, one key wins.
    draft = folder / f".{file.name}.{secrets.token_hex(8)}"
    draft.touch(mode=0o600)
    draft.write_text(Fernet.generate_key().decode())
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return file.read_text().split()
