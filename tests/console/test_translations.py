"""Dutch: nothing missing, and what is compiled is what is written."""

import re

import polib
import pytest
from django.urls import reverse

from syncservice.crm.models import Queue
from tests import factories
from tests.console.translations import CATALOG, texts

FIELD = re.compile(r"%\(\w+\)[sd]")


def dutch() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in polib.pofile(str(CATALOG / "django.po")).translated_entries():
        forms = list(entry.msgstr_plural.values()) or [entry.msgstr]
        found[entry.msgid] = forms
        if entry.msgid_plural:
            found[entry.msgid_plural] = forms
    return found


def test_every_text_has_a_dutch_one():
    known = dutch()
    assert [(text, file) for text, file in texts() if text not in known] == []


def test_the_catalog_holds_no_text_that_is_gone():
    assert {*dutch()} - {text for text, _ in texts()} == set()


def test_a_translation_keeps_the_facts_of_its_text():
    for entry in polib.pofile(str(CATALOG / "django.po")):
        meant = {*FIELD.findall(entry.msgid_plural or entry.msgid)}
        last = entry.msgstr_plural[1] if entry.msgstr_plural else entry.msgstr
        assert {*FIELD.findall(last)} == meant, entry.msgid


def test_what_is_compiled_is_what_is_written():
    """Else: python -c "import polib; polib.pofile('django.po').save_as_mofile('django.mo')"."""
    written = polib.pofile(str(CATALOG / "django.po")).translated_entries()
    compiled = polib.mofile(str(CATALOG / "django.mo"))

    def facts(entries):
        return {
            (e.msgid, e.msgid_plural, e.msgstr, tuple(e.msgstr_plural.values())) for e in entries
        }

    assert facts(written) == facts(compiled)


@pytest.mark.django_db
def test_a_dutch_user_reads_dutch(staff):
    box = factories.mailbox()
    Queue.objects.create(name="x")
    staff.post(reverse("set_language"), {"language": "nl"})
    overview = staff.get(reverse("overview")).text
    assert '<html lang="nl">' in overview
    assert "Postvakken" in overview
    assert "eerste bezoek volgt" in overview
    assert "Planning" in staff.get(reverse("mailbox", args=[box.pk])).text
    admin_page = staff.get(reverse("admin:mailboxes_mailbox_change", args=[box.pk])).text
    assert "Er is geen wachtwoord ingesteld." in admin_page


def test_the_login_is_dutch_for_a_dutch_browser(client):
    response = client.get(reverse("login"), headers={"accept-language": "nl"})
    assert "Aanmelden" in response.text
