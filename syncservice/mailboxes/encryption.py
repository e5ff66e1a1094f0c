"""Passwords at rest: encrypted in the column, plain only in an adapter (invariant 11)."""

from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.functions import Cast

_LOST_KEY = (
    "CREDENTIAL_KEYS: none of the keys decrypts a stored password; "
    "restore the key it was stored with"
)


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


class EncryptedTextField(_TextField):
    """Text that the database sees as a Fernet token only. '' stays ''.

    The first of CREDENTIAL_KEYS encrypts; all of them decrypt, so keys can be rotated.
    """

    def get_prep_value(self, value: Any) -> Any:
        return _cipher().encrypt(value.encode()).decode() if value else value

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        if not value:
            return value
        try:
            return _cipher().decrypt(value).decode()
        except InvalidToken as error:
            raise ImproperlyConfigured(_LOST_KEY) from error


def rotate() -> int:
    """Encrypt every stored password anew with the first key; return how many there are.

    It may be stopped and run again: each password is replaced only if nobody has changed it since.
    """
    count = 0
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, EncryptedTextField):
                count += _rotate_column(model, field.name)
    return count


def _rotate_column(model: type[models.Model], column: str) -> int:
    # Read and written as plain text: the field would decrypt and encrypt.
    rows = model._base_manager.annotate(token=Cast(column, models.TextField())).exclude(token="")
    stored = list(rows.values_list("pk", "token"))
    for key, token in stored:
        try:
            fresh = _cipher().rotate(token).decode()
        except InvalidToken as error:
            raise ImproperlyConfigured(_LOST_KEY) from error
        unchanged = rows.filter(pk=key, token=token)
        unchanged.update(**{column: models.Value(fresh, output_field=models.TextField())})
    return len(stored)


def put_new_key_first() -> bool:
    """Make a new key and keep it before the others; False when they come from the environment."""
    file = settings.DATA_FOLDER / "credential_keys"
    if not file.exists() or file.read_text().split() != list(settings.CREDENTIAL_KEYS):
        return False
    kept = [Fernet.generate_key().decode(), *settings.CREDENTIAL_KEYS]
    draft = file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text("\n".join(kept))
    draft.replace(file)  # whole, or not at all
    settings.CREDENTIAL_KEYS = kept
    return True
