"""Pages while the database is away, or somebody holds a lock."""

from contextlib import closing

import psycopg2
import pytest
from django.db import connection

from tests import factories


@pytest.fixture
def lock_timeout():
    """Locks are waited for a tenth of a second."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 100")
    yield
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("language", ["en", "nl"])
def test_a_page_that_meets_a_lock_says_that_it_is_not_available_just_now(
    client, django_user_model, lock_timeout, language
):
    factories.mailbox()
    client.force_login(django_user_model.objects.create_user("boss", is_staff=True))
    with closing(psycopg2.connect(**connection.get_connection_params())) as psql:
        psql.cursor().execute("LOCK TABLE mailboxes_mailbox")
        answer = client.get("/", headers={"Accept-Language": language})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    heading = {"en": "Not available just now", "nl": "Even niet bereikbaar"}[language]
    assert f"<h1>{heading}</h1>" in answer.text
    assert "boss" not in answer.text  # what it knows of the visitor is in the database
    assert client.get("/").status_code == 200
