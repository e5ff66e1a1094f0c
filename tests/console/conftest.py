import pytest
from django.utils import translation

from syncservice.crm.models import User


@pytest.fixture
def staff(client, settings):
    """A browser in which an administrator is logged in; passwords may go over its plain HTTP."""
    settings.ALLOW_PASSWORDS_OVER_HTTP = True
    user = User.objects.create_superuser("anna", "anna@example.test", "a password")
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def _no_language_left_behind():
    """A page in Dutch must not leave its language to the next test."""
    yield
    translation.deactivate()
