"""Stored passwords: the key can be changed, and nobody is shown what it hides."""

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.urls import reverse

from syncservice.cli import cli
from syncservice.crm.models import User
from syncservice.domain.faults import FaultError
from syncservice.mailboxes import encryption
from syncservice.mailboxes.encryption import Rotated
from syncservice.mailboxes.models import EmailServerProfile, Mailbox
from syncservice.servers import registry
from tests import factories

pytestmark = pytest.mark.django_db

SECRETS = ["correct horse", "battery staple", "s3cret-word"]


@pytest.fixture
def box() -> Mailbox:
    """A mailbox with a password, and a profile with two."""
    profile = factories.profile(password=SECRETS[0], outgoing_password=SECRETS[1])
    return factories.mailbox(
        email_address="ann@example.test", profile=profile, username="ann", password=SECRETS[2]
    )


def a_key() -> str:
    return Fernet.generate_key().decode()


def read() -> list[str]:
    profile, box = EmailServerProfile.objects.get(), Mailbox.objects.get()
    return [profile.password, profile.outgoing_password, box.password]


def stored() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT password, outgoing_password FROM mailboxes_emailserverprofile "
            "UNION ALL SELECT password, '' FROM mailboxes_mailbox"
        )
        return [token for row in cursor.fetchall() for token in row]


def test_after_a_rotation_the_old_key_may_go(box, settings):
    old = settings.CREDENTIAL_KEYS
    new = a_key()
    settings.CREDENTIAL_KEYS = [new, *old]
    assert not encryption.is_rotated()
    assert encryption.rotate() == Rotated(3, [])
    assert encryption.is_rotated()
    settings.CREDENTIAL_KEYS = [new]
    assert read() == SECRETS
    settings.CREDENTIAL_KEYS = old
    assert not any(word in SECRETS for word in read())


def test_rotating_again_changes_no_password(box, settings):
    settings.CREDENTIAL_KEYS = [a_key(), *settings.CREDENTIAL_KEYS]
    assert encryption.rotate() == encryption.rotate() == Rotated(3, [])
    assert read() == SECRETS


def test_a_password_whose_key_is_lost_is_named_and_stops_no_other(box, settings, tmp_path):
    lost, kept = a_key(), settings.CREDENTIAL_KEYS
    settings.CREDENTIAL_KEYS, settings.DATA_FOLDER = [lost], tmp_path
    Mailbox.objects.filter(pk=box.pk).update(password=SECRETS[2])
    settings.CREDENTIAL_KEYS = [a_key(), *kept]
    assert encryption.rotate() == Rotated(2, ["ann@example.test"])
    result = CliRunner().invoke(cli, ["keys", "rotate"])
    assert result.exit_code == 1
    assert "no key decrypts the passwords of ann@example.test; enter them again" in result.output
    settings.CREDENTIAL_KEYS = [lost, settings.CREDENTIAL_KEYS[0]]
    assert read() == SECRETS


@pytest.mark.parametrize("whose", ["mailbox", "profile"])
def test_without_its_key_a_password_is_no_ones_and_is_entered_again(box, settings, whose):
    credentials = EmailServerProfile.Credentials[whose.upper()]
    EmailServerProfile.objects.update(credentials=credentials)
    Mailbox.objects.update(allow_credentials=True)
    kept, settings.CREDENTIAL_KEYS = settings.CREDENTIAL_KEYS, [a_key()]
    box = Mailbox.objects.select_related("profile").get()
    with pytest.raises(FaultError) as caught:
        registry.incoming(box, lambda: None)
    assert (caught.value.fault.code, caught.value.fault.scope) == (f"{whose}.key_lost", whose)
    before = stored()
    box.save()  # somebody changes something else
    box.profile.save()
    assert stored() == before

    record = box if whose == "mailbox" else box.profile
    record.password = "entered again"
    record.save()
    registry.incoming(Mailbox.objects.select_related("profile").get(), lambda: None)
    settings.CREDENTIAL_KEYS = kept
    assert SECRETS[1] in read()


def test_no_password_stays_no_password(settings):
    factories.mailbox(profile=factories.profile(password=""))
    settings.CREDENTIAL_KEYS = [a_key(), *settings.CREDENTIAL_KEYS]
    assert encryption.rotate() == Rotated(0, [])
    assert set(stored()) == {""}


def test_a_key_that_is_none_is_one_sentence(box, settings):
    settings.CREDENTIAL_KEYS = ["short"]
    with pytest.raises(ImproperlyConfigured, match="expected Fernet keys"):
        read()


def test_where_keys_are_kept_the_command_makes_one_and_uses_it_after_a_restart(
    box, settings, tmp_path
):
    settings.DATA_FOLDER = tmp_path
    file = tmp_path / "credential_keys"
    file.write_text("\n".join(settings.CREDENTIAL_KEYS))
    old, before = list(settings.CREDENTIAL_KEYS), stored()
    result = CliRunner().invoke(cli, ["keys", "rotate"])
    assert (result.exit_code, stored()) == (0, before)
    assert "Made a new key. Restart the service" in result.output
    new, *others = file.read_text().split()
    assert (others, file.stat().st_mode & 0o077) == (old, 0)
    assert new not in result.output

    settings.CREDENTIAL_KEYS = [new, *others]  # restarted
    result = CliRunner().invoke(cli, ["keys", "rotate"])
    assert "3 passwords are encrypted with the first key now" in result.output
    assert file.read_text().split() == [new, *others]
    settings.CREDENTIAL_KEYS = [new]
    assert read() == SECRETS


def test_the_command_leaves_keys_of_the_environment_alone(box, settings, tmp_path):
    settings.DATA_FOLDER = tmp_path
    result = CliRunner().invoke(cli, ["keys", "rotate"])
    assert "Made a new key" not in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ("profile", "list", "--json"),
        ("profile", "show", "{profile}", "--json"),
        ("profile", "show", "{profile}"),
        ("mailbox", "list", "--json"),
        ("mailbox", "show", "ann@example.test", "--json"),
        ("mailbox", "show", "ann@example.test"),
        ("organisation", "show", "--json"),
    ],
    ids=" ".join,
)
def test_no_command_prints_a_password_or_what_is_stored_of_it(box, command):
    arguments = [part.format(profile=box.profile.name) for part in command]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    for secret in (*SECRETS, *filter(None, stored())):
        assert secret not in result.output


def test_no_record_shows_a_password_when_it_is_printed(box):
    server = registry._exchange_server(box)
    texts = [repr(one) + str(one) for one in (box, box.profile, server)]
    for secret in SECRETS:
        assert not any(secret in text for text in texts)


def test_no_page_shows_a_password_or_what_is_stored_of_it(box, client, settings):
    settings.ALLOW_PASSWORDS_OVER_HTTP = True
    client.force_login(User.objects.create_superuser("anna", "", "a password"))
    for record in (box, box.profile):
        url = reverse(f"admin:mailboxes_{record._meta.model_name}_change", args=[record.pk])
        page = client.get(url).content.decode()
        assert "A password is set." in page
        for secret in (*SECRETS, *filter(None, stored())):
            assert secret not in page
