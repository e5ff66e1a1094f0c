"""Passwords at rest: encrypted in the column, plain only in an adapter (invariant 11)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.functions import Cast


def _cipher() -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in settings.CREDENTIAL_KEYS])
    except ValueError as error:
        raise ImproperlyConfigured(
            "CREDENTIAL_KEYS: expected Fernet keys (32 bytes, base64); make one with "
            "`syncservice keys new`"
        ) from error


if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class Undecryptable(str):
    """A stored password that none of the keys decrypts: its token, which saving leaves alone."""


class EncryptedTextField(_TextField):
    """Text that the database sees as a Fernet token only. '' stays ''.

    The first of CREDENTIAL_KEYS encrypts; all of them decrypt, so keys can be rotated. What none
    decrypts is read as `Undecryptable`: the record can be looked at, and be given a new password.
    """

    def get_prep_value(self, value: Any) -> Any:
        if not value or isinstance(value, Undecryptable):
            return value
        return _cipher().encrypt(value.encode()).decode()

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        if not value:
            return value
        try:
            return _cipher().decrypt(value).decode()
        except InvalidToken:
            return Undecryptable(value)


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of encrypting the stored passwords anew."""

    count: int  # encrypted with the first key now
    lost: list[
        str
    ]  # names of those whose password none of the keys decrypts; it has to be entered again


def rotate() -> Rotated:
    """Encrypt every stored password anew with the first key.

    It may be stopped and run again: each password is replaced only if nobody has changed it since.
    """
    count, lost = 0, []
    for rows, column in _columns():
        for pk, token in list(rows.values_list("pk", "token")):
            try:
                fresh = _cipher().rotate(token).decode()
            except InvalidToken:
                lost.append(str(rows.get(pk=pk)))
                continue
            unchanged = rows.filter(pk=pk, token=token)
            unchanged.update(**{column: models.Value(fresh, output_field=models.TextField())})
            count += 1
    return Rotated(count, lost)


def is_rotated() -> bool:
    """Whether the first key alone decrypts every stored password."""
    first = Fernet(settings.CREDENTIAL_KEYS[0])
    for rows, _ in _columns():
        for token in rows.values_list("token", flat=True):
            try:
                first.decrypt(token)
            except InvalidToken:
                return False
    return True


def _columns() -> Iterator[tuple[models.QuerySet[Any], str]]:
    """Yield the rows that hold a secret, with it as the `token` that the database sees."""
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, EncryptedTextField):
                # Read as plain text: the field would decrypt it.
                token = Cast(field.name, models.TextField())
                rows = model._base_manager.annotate(token=token).exclude(token="")
                yield rows, field.name


def may_make_keys() -> bool:
    """Whether the keys are kept in DATA_FOLDER, and don't come from the environment."""
    file = _kept_keys()
    return file.exists() and file.read_text().split() == list(settings.CREDENTIAL_KEYS)


def put_new_key_first() -> None:
    """Make a new key and keep it before the others; a process that starts from now on uses it."""
    file = _kept_keys()
    draft = file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text("\n".join([Fernet.generate_key().decode(), *settings.CREDENTIAL_KEYS]))
    draft.replace(file)  # whole, or not at all


def _kept_keys() -> Path:
    file: Path = settings.DATA_FOLDER / "credential_keys"
    return file
