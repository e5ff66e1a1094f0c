"""Who may see the pages, and what a browser may do with them."""

import uuid

import pytest
from django.urls import reverse

from syncservice.crm.models import User
from tests import factories
from tests.console import records

pytestmark = pytest.mark.django_db
PAGES = {
    "overview": {},
    "mailbox": {"mailbox_id": 1},
    "items": {"mailbox_id": 1},
    "email": {"email_id": uuid.uuid4()},
    "email_body": {"email_id": uuid.uuid4()},
    "attachment": {"email_id": uuid.uuid4(), "position": 0},
}
pages = pytest.mark.parametrize(
    "page", [pytest.param(reverse(p, kwargs=k), id=p) for p, k in PAGES.items()]
)


@pages
def test_a_stranger_is_asked_to_log_in_first(client, page):
    assert client.get(page).headers["Location"] == f"{reverse('login')}?next={page}"


@pages
def test_a_user_who_is_not_staff_is_told_so(client, page):
    client.force_login(User.objects.create_user("guest"))
    response = client.get(page)
    assert response.status_code == 403
    assert "You are logged in as guest, and these pages are for staff." in response.text
    assert "Administration" not in response.text


@pages
def test_the_pages_only_read(staff, page):
    assert staff.post(page).status_code == 405


def test_logging_in_leads_to_the_overview_and_out_of_it_again(client):
    User.objects.create_superuser("anna", password="a password")
    response = client.post(reverse("login"), {"username": "anna", "password": "a password"})
    assert response.headers["Location"] == reverse("overview")
    assert client.post(reverse("logout")).headers["Location"] == reverse("login")
    assert client.get(reverse("overview")).status_code == 302


def test_a_wrong_password_gets_a_sentence(client):
    response = client.post(reverse("login"), {"username": "anna", "password": "wrong"})
    assert "correct username and password" in response.text


def test_what_is_not_there_gets_a_page_of_ours(staff):
    response = staff.get(reverse("mailbox", args=[99999]))
    assert response.status_code == 404
    assert "There is no such mailbox" in response.text


@pytest.mark.parametrize("name", ["overview", "login", "admin:index"])
def test_a_page_runs_only_what_we_serve(staff, name):
    response = staff.get(reverse(name))
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("name", ["overview", "mailbox", "email", "login"])
def test_a_page_has_nothing_inline_that_its_policy_would_refuse(staff, name):
    box = factories.mailbox()
    record = records.email(box, html="<b>Hello</b>")
    arguments = {"mailbox": [box.pk], "email": [record.pk]}.get(name)
    html = staff.get(reverse(name, args=arguments)).text
    assert "style=" not in html
    assert "<style" not in html
    assert "<script>" not in html


def test_no_cache_keeps_mail(staff):
    record = records.email()
    response = staff.get(reverse("email", args=[record.pk]))
    assert "no-store" in response.headers["Cache-Control"]
