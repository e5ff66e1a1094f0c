"""Email on its way out: what its page and its mailbox's page tell, and who decides about it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from syncservice.alerts.models import Alert
from syncservice.console import views
from syncservice.crm.models import Email, Queue, User
from syncservice.domain.faults import Nature
from syncservice.domain.sending import Priority, State
from syncservice.mailboxes import administration, directions
from syncservice.mailboxes.models import (
    ChangeRecord,
    Direction,
    EmailServerProfile,
    Mailbox,
    Organisation,
    OutgoingEmail,
    OutgoingMethod,
    UnclearSending,
)
from syncservice.sync import submission, writing
from syncservice.sync.writing import Letter
from tests import factories
from tests.console import records
from tests.console.test_admin import form_of, save
from tests.memory_gateway import MemoryPostOffice, Step
from tests.sync.test_sending import (
    CUSTOMER,
    OTHER,
    owner,
    refusal,
    send,
    sending_mailbox,
    state,
    submitted,
    switch_off,
    written,
)

pytestmark = pytest.mark.django_db
BUTTONS = {
    "was-sent": "It was sent",
    "send-again": "Send it once more",
    "take-back": "Take it back",
}


@pytest.fixture
def ann() -> Mailbox:
    return sending_mailbox(email_address="ann@example.test")


@pytest.fixture
def office() -> MemoryPostOffice:
    return MemoryPostOffice()


def unknown(box: Mailbox, office: MemoryPostOffice, **letter) -> Email:
    """An email that a server took without saying so, and can't tell of."""
    office.sees_sent, office.cut_at = False, {Step.TAKEN}
    email = submitted(box, **letter)
    send(office)
    assert state(email) is State.UNKNOWN
    return email


def failed(box: Mailbox, office: MemoryPostOffice, **letter) -> Email:
    office.refused = {CUSTOMER: refusal(Nature.PERMANENT, "550 no such user")}
    email = submitted(box, **letter)
    send(office)
    assert state(email) is State.FAILED
    office.refused = {}
    return email


def page(browser: Client, email: Email) -> str:
    return browser.get(reverse("email", args=[email.pk])).text


def mailbox_page(browser: Client, box: Mailbox) -> str:
    return browser.get(reverse("mailbox", args=[box.pk])).text


def press(browser: Client, email: Email, action: str):
    """Press a button of an email's page, and look at where that leads."""
    return browser.post(reverse("act_on_email", args=[email.pk]), {"action": action}, follow=True)


def logged_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


# --- What the page of an email tells --------------------------------------------------------------


def test_a_waiting_email_says_so_and_why(staff, ann):
    switch_off(ann, is_active=False)
    html = page(staff, submitted(ann, priority=Priority.HIGH))
    assert "pending send</span>" in html
    assert "The mailbox of its sender is not active." in html
    assert "<dd>high</dd>" in html
    assert f'<a href="/mailboxes/{ann.pk}/">ann@example.test</a>' in html


def test_an_email_that_was_sent_tells_when(staff, ann, office):
    email = submitted(ann)
    Email.objects.filter(pk=email.pk).update(sent_at="2026-01-02T03:04:05Z")
    OutgoingEmail.objects.update(submitted_at="2026-01-02T03:04:01Z", attempts=3)
    Email.objects.filter(pk=email.pk).update(status=State.SENT)
    html = page(staff, email)
    assert ">2026-01-02 03:04:05 UTC</time>" in html
    assert f">2026-01-02 03:04:01 UTC</time> <small>by {owner(ann)}</small>" in html
    assert "<dt>Attempts</dt><dd>3</dd>" in html
    assert "sent</span>" in html
    assert "<button name=" not in html.partition("<article>")[2]  # nothing is left to decide


def test_a_failed_email_tells_what_the_server_said(staff, ann, office):
    html = page(staff, failed(ann, office))
    assert "failed</span>" in html
    assert "550 no such user <code>test.fault</code>" in html
    assert '<p class="notice alarming">A test did not end well.' in html  # its alert, by its code


def test_an_email_that_failed_for_now_tells_when_it_is_tried_again(staff, ann, office):
    office.refused = {CUSTOMER: refusal(Nature.TRANSIENT, "452 mailbox full")}
    email = submitted(ann)
    send(office)
    OutgoingEmail.objects.update(due_at=timezone.now() + timedelta(minutes=7, seconds=30))
    html = page(staff, email)
    assert "452 mailbox full" in html
    assert ">in 7 min</time>" in html


def test_refused_recipients_are_told_with_the_servers_words_and_an_alert(staff, ann, office):
    office.refused = {OTHER: refusal(Nature.PERMANENT, "550 <unknown>")}
    email = submitted(ann, to=[CUSTOMER, OTHER])
    send(office)
    html = page(staff, email)
    assert f"<bdi>{OTHER}</bdi> <small>550 &lt;unknown&gt;</small>" in html
    assert "email.recipients_refused" in html
    listed = mailbox_page(staff, ann)
    assert f'href="/emails/{email.pk}/">Show the email</a>' in listed


def test_who_has_an_email_already_is_told_and_then_it_is_not_taken_back(staff, ann, office):
    office.refused = {OTHER: refusal(Nature.TRANSIENT, "452 mailbox full")}
    email = submitted(ann, to=[CUSTOMER, OTHER])
    send(office)
    html = page(staff, email)
    assert f'Have it already</dt><dd><span class="party"><bdi>{CUSTOMER}</bdi></span></dd>' in html
    assert BUTTONS["take-back"] not in html
    assert "Some recipients have it already." in press(staff, email, "take-back").text


def test_what_an_email_asked_for_is_told(staff, ann):
    later = timezone.now() + timedelta(days=1)
    html = page(staff, submitted(ann, asks_read_receipt=True, send_after=later))
    assert "when it is read" in html
    assert "when it is delivered" not in html
    assert "It is sent later, as its writer wished." in html
    assert f"{later:%Y-%m-%d %H:%M:%S} UTC" in html


def test_email_that_came_in_has_no_way_out(staff):
    html = page(staff, records.email())
    assert "Why it is here" in html
    assert "Submitted" not in html


def test_an_email_whose_server_is_still_to_be_asked_says_so(staff, ann, office):
    email = unknown(ann, office)
    assert "The server is asked" not in page(staff, email)
    OutgoingEmail.objects.update(due_at=timezone.now())
    Alert.objects.update(ended_at=timezone.now())
    assert "The server is asked whether it was sent." in page(staff, email)


# --- Deciding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "end", "times"), [
    ("was-sent", State.SENT, 1),
    ("send-again", State.PENDING, 2),
])  # fmt: skip
def test_a_person_decides_about_an_unknown_email(staff, ann, office, action, end, times):
    email = unknown(ann, office)
    html = page(staff, email)
    assert "unknown whether it was sent</span>" in html
    assert "Nobody can tell whether an email was sent" in html
    assert f'value="{action}">{BUTTONS[action]}</button>' in html
    assert BUTTONS["take-back"] not in html
    after = press(staff, email, action)
    assert state(email) is end
    assert BUTTONS[action] not in after.text
    send(office)
    assert office.recipients(email.message_id) == [CUSTOMER] * times
    note = ChangeRecord.objects.get(action="email.decided")
    assert (note.actor, note.mailbox) == ("anna", ann)
    assert note.facts == {"email": str(email.pk), "was_sent": action == "was-sent"}


def test_without_alerts_an_unknown_email_says_what_is_asked(staff, ann, office):
    Organisation.current()
    Organisation.objects.update(alerts_errors=False)
    assert "Nobody can tell whether it was sent; say so" in page(staff, unknown(ann, office))


def test_a_waiting_email_is_taken_back(staff, ann):
    email = submitted(ann)
    assert BUTTONS["take-back"] in page(staff, email)
    assert BUTTONS["was-sent"] not in page(staff, email)
    assert "draft</span>" in press(staff, email, "take-back").text
    assert state(email) is State.DRAFT
    assert ChangeRecord.objects.get(action="email.taken_back").facts == {"email": str(email.pk)}


@pytest.mark.parametrize(("action", "said"), [
    ("was-sent", "It is too late for that: the email is in the state “sent”."),
    ("send-again", "It is too late for that: the email is in the state “sent”."),
    ("take-back", "It is too late for that: the email is in the state “sent”."),
])  # fmt: skip
def test_who_is_too_late_is_told_so_and_nothing_happens(staff, ann, office, action, said):
    email = submitted(ann)
    send(office)
    answer = press(staff, email, action)
    assert said in answer.text
    assert state(email) is State.SENT
    assert said not in page(staff, email)  # told once
    assert not ChangeRecord.objects.filter(action__startswith="email.").exists()


def test_an_action_that_is_none_is_refused(staff, ann):
    email = submitted(ann)
    assert press(staff, email, "delete").status_code == 400
    assert state(email) is State.PENDING


def test_nothing_is_done_by_a_link_or_a_form_of_another_site(ann):
    email = submitted(ann)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("anna"))
    url = reverse("act_on_email", args=[email.pk])
    assert browser.get(url).status_code == 405
    assert browser.post(url, {"action": "take-back"}).status_code == 403
    assert state(email) is State.PENDING


# --- Who may --------------------------------------------------------------------------------------


def test_its_owner_sees_an_email_and_decides_without_being_staff(ann, office):
    email = unknown(ann, office, html="<p>Hello</p>")
    browser = logged_in(owner(ann))
    assert BUTTONS["was-sent"] in page(browser, email)
    assert browser.get(reverse("email_body", args=[email.pk])).status_code == 200
    press(browser, email, "was-sent")
    assert state(email) is State.SENT
    assert ChangeRecord.objects.get(action="email.decided").actor == owner(ann).username


def test_the_owner_of_a_queue_decides_about_its_email(office):
    boss = User.objects.create_user("boss")
    box = sending_mailbox(owner=factories.queue("help@example.test", owner=boss))
    email = writing.draft(administration.owner_of(box), Letter(to=[CUSTOMER]))
    Email.objects.update(owner=None)
    browser = logged_in(boss)
    assert browser.get(reverse("email", args=[email.pk])).status_code == 403  # who sends it?
    submission.submit(email, None)
    press(browser, email, "take-back")
    assert state(email) is State.DRAFT


def test_who_sent_it_on_behalf_of_another_decides_too(ann, office):
    bob = factories.user("bob@example.test", lets_others_send=True)
    email = writing.draft(bob, Letter(to=[CUSTOMER]))
    submission.submit(email, owner(ann))
    press(logged_in(owner(ann)), email, "take-back")
    assert state(email) is State.DRAFT


def test_others_neither_see_an_email_nor_decide_about_it(ann, office):
    email = unknown(ann, office, html="<p>Hello</p>")
    browser = logged_in(factories.user("eve@example.test"))
    for name in ("email", "email_body"):
        assert browser.get(reverse(name, args=[email.pk])).status_code == 403
    assert press(browser, email, "send-again").status_code == 403
    assert press(Client(), email, "send-again").redirect_chain[0][0].startswith("/login/")
    assert state(email) is State.UNKNOWN


def test_who_takes_a_mailbox_over_does_not_get_its_former_owners_email(ann, office):
    email = unknown(ann, office)
    heir = factories.user("heir@example.test")
    administration.map_mailbox(ann, heir, take_over=True)
    assert press(logged_in(heir), email, "send-again").status_code == 403


def test_email_that_came_in_is_for_staff_even_if_it_is_ones_own(ann):
    email = records.email(ann, owner=owner(ann))
    answer = logged_in(owner(ann)).get(reverse("email", args=[email.pk]))
    assert answer.status_code == 403


# --- The page of a mailbox ------------------------------------------------------------------------


def test_a_mailbox_lists_what_it_did_not_send_and_why(staff, ann, office):
    failed(ann, office, subject="A failure")
    unknown(ann, office, subject="A doubt")
    office.sees_sent = True
    submitted(ann, subject="A success")
    send(office)
    written(ann, subject="A draft")
    switch_off(ann, approval=Mailbox.Approval.REJECTED)
    submitted(ann, subject="A letter", to=["Carla <carla@contoso.test>"])
    submitted(sending_mailbox(email_address="bob@example.test"), subject="Somebody else's")
    table = mailbox_page(staff, ann).partition('id="unsent"')[2].partition("</table>")[0]
    order = ["A letter", "A doubt", "A failure"]
    places = [table.index(subject) for subject in order]
    assert places == sorted(places)  # the newest first
    assert not [one for one in ("A success", "A draft", "Somebody") if one in table]
    assert '<bdi title="carla@contoso.test">Carla</bdi>' in table
    assert "The address of its sender&#x27;s mailbox is not approved." in table
    assert "550 no such user" in table
    assert "Nobody can tell whether it was sent" in table


def test_the_alerts_of_a_mailboxs_unsent_email_are_on_the_emails_pages(staff, ann, office):
    for _ in range(3):
        failed(ann, office)
    assert mailbox_page(staff, ann).count('class="notice') == 0


def test_a_long_list_of_unsent_email_is_cut_and_costs_no_more(
    staff, ann, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(views, "UNSENT_SHOWN", 10)
    for number in range(12):
        submitted(ann, subject=f"number {number:02}")
    with django_assert_max_num_queries(30):
        html = mailbox_page(staff, ann)
    assert "number 11" in html
    assert "number 02" in html
    assert "number 01" not in html
    assert "The newest 10 are shown" in html


def test_a_mailbox_without_unsent_email_has_no_list_of_it(staff, ann):
    assert 'id="unsent"' not in mailbox_page(staff, ann)


def test_a_visit_that_sent_email_says_so(staff, ann, office):
    submitted(ann)
    send(office)
    html = mailbox_page(staff, ann)
    assert "<small>outgoing email</small>" in html
    assert 'data-label="Sent">1</td>' in html


# --- Dutch, and administration --------------------------------------------------------------------


def test_a_dutch_user_reads_dutch(staff, ann, office):
    email = unknown(ann, office)
    staff.post(reverse("set_language"), {"language": "nl"})
    html = page(staff, email)
    assert "onbekend of het is verzonden</span>" in html
    assert "Nog een keer verzenden" in html
    assert "E-mail die niet is verzonden" in mailbox_page(staff, ann)


def test_what_is_done_with_sent_and_unclear_email_is_set_in_the_profile(staff):
    profile = factories.profile()
    saved = save(
        staff, profile, keeps_sent_copy=None, unclear_sending=UnclearSending.TAKE_AS_SENT.value
    )
    assert saved.status_code == 302
    profile = EmailServerProfile.objects.get()
    assert (profile.keeps_sent_copy, profile.unclear_sending) == (False, 2)
    form = staff.get(reverse("admin:mailboxes_emailserverprofile_change", args=[profile.pk])).text
    assert "POP3 knows no folders: beside it no copy is kept." in form


def test_sending_to_those_who_are_no_records_is_set_for_the_organisation(staff):
    organisation = Organisation.current()
    assert save(staff, organisation, sends_to_unresolved=None).status_code == 302
    assert Organisation.current().sends_to_unresolved is False


def test_a_user_lets_others_send_by_the_administration(staff):
    user = factories.user("bob@example.test")
    url = reverse("admin:crm_user_change", args=[user.pk])
    data = form_of(
        staff, url, lets_others_send="on", date_joined_0="2026-01-02", date_joined_1="03:04:05"
    )
    assert staff.post(url, data).status_code == 302
    user.refresh_from_db()
    assert user.lets_others_send is True


def test_email_of_a_mailbox_that_is_not_enabled_waits_visibly(staff):
    box = factories.mailbox(
        email_address="eve@example.test", outgoing_method=OutgoingMethod.SERVER_SIDE
    )
    email = submitted(box)
    why = "Outgoing email of its sender&#x27;s mailbox is not enabled; test and enable it."
    assert why in page(staff, email)
    assert why in mailbox_page(staff, box)
    directions.enable([box.pk], [Direction.Kind.OUTGOING], "tests")
    assert why not in page(staff, email)


def test_email_of_a_queue_that_nobody_owns_is_for_staff(ann):
    queue = Queue.objects.create(name="Lost", email_address="lost@example.test")
    box = sending_mailbox(owner=queue)
    email = writing.draft(administration.owner_of(box), Letter(to=[CUSTOMER]))
    submission.submit(email, None)
    assert press(logged_in(owner(ann)), email, "take-back").status_code == 403
