"""Passwords at rest: encrypted in the column, plain only in an adapter (invariant 11)."""

from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


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
            raise ImproperlyConfigured(
                "CREDENTIAL_KEYS: none of the keys decrypts a stored password; "
                "restore the key it was stored with"
            ) from error
