"""What codes mean for people: every one is described, in both languages, and has its place."""

import re
from pathlib import Path

import pytest
from django.utils import translation

from syncservice.alerts.catalogue import ENTRIES, FAMILIES, OTHER, anchor_of, entry_of
from syncservice.alerts.entries.entry import Entry
from syncservice.alerts.runbook import as_markdown
from syncservice.servers.exchange import faults

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"
ANCHORS = re.findall(r'<a id="([^"]+)">', PAGE.read_text())

NETWORK = (
    "unreachable", "unknown_host", "connection_refused", "timed_out", "connection_lost",
    "certificate_refused", "tls_failed", "answer_too_large",
)  # fmt: skip
STATUSES = (301, 302, 303, 307, 308, 401, 403, 404, 405, 429, 500, 502, 503, 504)
#: Response codes in no table of the adapter, and worth words of their own all the same.
RESPONSE_CODES = (
    "ErrorQuotaExceeded", "ErrorSendAsDenied", "ErrorInternalServerError", "ErrorItemNotFound",
)  # fmt: skip
TABLES = faults._THROTTLED | faults._RESYNC | {*faults._PERMANENT} | faults._ITEM
OURS = {
    "visit": "parked timed_out",
    "mailbox": "enabled recovered not_approved no_profile no_address taken_over disabled "
    "other_organisation no_credentials no_activities key_lost",
    "profile": "exchange_online_ends login_refused mailboxes_failing autodiscover_failed key_lost",
    "email": "unreadable parser_failed not_storable too_large not_answered id_too_long no_sender "
    "not_forwarded not_allowed_to_forward outcome_unknown recipients_refused not_composed",
    "items": "first_synchronization mass_deletion scheduling_conflict duplicate_contact "
    "linked_elsewhere",
    "item": "no_organizer record_refused not_answered recurring_task assigned_task cancelled "
    "scheduling_conflict",
    "sending": "timed_out",
    "exchange": "not_ews unreadable_answer folder_gone categories_unreadable still_in_outbox",
    "test": "failed timed_out",
    "pop3": "login_refused mailbox_in_use login_delay system_temporary system_permanent "
    "no_starttls not_pop3 no_uidl",
    "imap": "login_refused password_expired privacy_required preauthenticated no_permission "
    "contact_admin mailbox_in_use unavailable closed limit_reached over_quota no_starttls not_imap "
    "no_uids uidvalidity_changed inbox_refused not_listed unreadable_answer message_refused "
    "larger_than_listed not_deleted read_only others_deleted "
    "sent_items_refused",
    "smtp": "login_refused authentication_unavailable service_unavailable sender_refused "
    "recipients_refused quota_exceeded refused_for_now message_refused no_starttls not_smtp "
    "outcome_unknown no_smtputf8",
}


def everything_said() -> list[Entry]:
    """Every entry, those for codes that nobody described too."""
    return [*ENTRIES.values(), *(family.any for family in (*FAMILIES, OTHER))]


def texts_of(entry: Entry) -> tuple[str, str, str]:
    return str(entry.meaning), str(entry.cause), str(entry.remedy)


@pytest.mark.parametrize("response_code", sorted(TABLES | {*RESPONSE_CODES}))
def test_a_response_code_has_an_entry_under_the_servers_own_name(response_code):
    code = faults.fault_of_response_code(response_code, "", None).code
    assert code in ENTRIES
    assert entry_of(code).name == response_code


@pytest.mark.parametrize("code", sorted(faults._STORE))
def test_a_trouble_of_the_mailbox_store_has_an_entry(code):
    assert code in ENTRIES


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_of_http_has_an_entry(status):
    assert faults.fault_of_status(status, None).code in ENTRIES


@pytest.mark.parametrize("name", NETWORK)
def test_a_trouble_of_the_network_means_the_same_for_every_protocol(name):
    of_exchange, *others = (
        ENTRIES[f"{kind}.{name}"] for kind in ("exchange", "pop3", "imap", "smtp")
    )
    assert all(entry is of_exchange for entry in others)


@pytest.mark.parametrize("family", OURS)
def test_a_code_that_the_service_raises_has_an_entry(family):
    wanted = {f"{family}.{name}" for name in OURS[family].split()}
    assert wanted - {*ENTRIES} == set()


@pytest.mark.parametrize(
    ("code", "anchor", "says"),
    [
        ("exchange.http_401", "exchange-http-401", "refuses the user name or the password"),
        ("pop3.timed_out", "pop3-timed-out", "did not answer in time"),
        ("exchange.calendar_is_on_fire", "exchange", "The Exchange server answered with an error"),
        ("exchange.http_418", "exchange", "The Exchange server answered with an error"),
        ("smtp.new", "smtp", "The SMTP server answered with an error"),
        ("rate.new", "limit", "A limit of this service"),
        ("mailbox", "mailbox", "Something about this mailbox"),
        ("mailboxes.new", "other", "no description yet"),
        ("", "other", "no description yet"),
    ],
)
def test_any_code_has_a_meaning_and_a_place(code, anchor, says):
    assert says in entry_of(code).meaning
    assert anchor_of(code) == anchor


@pytest.mark.parametrize(
    ("code", "name", "reference"),
    [
        ("mailbox.enabled", "ConfigurationTestSucceeded", "A46"),
        ("mailbox.disabled", "MailboxDisabled", "A37"),
        ("smtp.login_refused", "OutgoingEmailAuthenticationError", "A07, A36"),
        ("exchange.http_503", "Http server returned ServiceUnavailable", "A16"),
    ],
)
def test_an_entry_bears_the_name_that_the_reference_gives_it(code, name, reference):
    assert (entry_of(code).name, entry_of(code).reference) == (name, reference)


def test_every_text_is_said_in_dutch_too():
    said = {text for entry in everything_said() for text in texts_of(entry)}
    with translation.override("nl"):
        in_dutch = {text for entry in everything_said() for text in texts_of(entry)}
    assert said & in_dutch == set()


@pytest.mark.parametrize(
    ("language", "unwanted"), [("en", r"(?i)\bplease\b|n't\b"), ("nl", r"(?i)\b(u|uw)\b")]
)
def test_texts_are_whole_sentences_in_one_tone(language, unwanted):
    with translation.override(language):
        for entry in everything_said():
            meaning, *more = texts_of(entry)
            assert re.fullmatch(r"[^.?]+[.?]", meaning), meaning
            assert all(text.endswith(".") for text in more), more
            assert not re.search(unwanted, " ".join([meaning, *more])), entry


def test_the_page_is_what_the_catalogue_says():
    """Else: `python -m syncservice.alerts.runbook > docs/alerts.md`."""
    assert as_markdown() == PAGE.read_text()


def test_the_page_is_english_for_a_dutch_writer_too():
    with translation.override("nl"):
        assert as_markdown() == PAGE.read_text()


def test_the_page_has_one_place_for_each_code_and_family():
    families = [family.anchor for family in (*FAMILIES, OTHER)]
    assert sorted(ANCHORS) == sorted(["network", *families, *map(anchor_of, ENTRIES)])
    assert len({*ANCHORS}) == len(ANCHORS)


def test_every_link_of_the_page_leads_somewhere():
    assert {*re.findall(r"\]\(#([^)]+)\)", PAGE.read_text())} - {*ANCHORS} == set()
