"""Synchronization filters by the command line."""

import json

import pytest

from syncservice.crm.models import Contact, SyncFilter, Task, User
from syncservice.crm.templates import DEFAULTS
from syncservice.mailboxes.models import ChangeRecord, Mailbox
from tests.console import items
from tests.test_cli_administration import ANN, done, run, told
from tests.test_cli_email import refused
from tests.test_cli_items import wrong

pytestmark = pytest.mark.django_db
HIGH = {"field": "priority", "operator": "eq", "value": "high"}


@pytest.fixture
def ann() -> Mailbox:
    return items.mailbox(ANN)


@pytest.fixture
def user(ann) -> User:
    found = items.user_of(ann)
    SyncFilter.objects.filter(user=found).delete()
    return found


def add(*options: str, criteria: object = HIGH, name: str = "Urgent") -> SyncFilter:
    text = json.dumps(criteria)
    number = done("filters", "add", "task", name, "--criteria", "-", *options, stdin=text)
    return SyncFilter.objects.get(pk=number.strip())


def test_a_users_filter_is_added_shown_and_obeyed_at_once(ann, user):
    made = add("--user", user.username)
    assert (made.kind, made.user, made.criteria, made.is_active) == ("user", user, HIGH, True)
    assert items.is_woken(ann)
    (listed,) = told("filters", "list", "--user", user.username)
    assert (listed["id"], listed["records"], listed["active"]) == (made.pk, "task", True)
    assert told("filters", "show", str(made.pk))["criteria"] == HIGH
    assert '"high"' in done("filters", "show", str(made.pk))
    note = ChangeRecord.objects.get(action="filter.added")
    assert note.facts["user"] == user.username


def test_criteria_come_from_a_file(user, tmp_path):
    (tmp_path / "criteria.json").write_text(json.dumps(HIGH))
    done("filters", "add", "task", "x", "--system", "--criteria", f"{tmp_path}/criteria.json")
    assert SyncFilter.objects.get(kind="system").criteria == HIGH


@pytest.mark.parametrize(("options", "kind"), [(("--system",), "system"),
                                               (("--template",), "template")])  # fmt: skip
def test_filters_of_everybody_and_templates_are_nobodys(user, options, kind):
    made = add(*options)
    assert (made.kind, made.user, made.is_default) == (kind, None, False)
    assert made.pk in [one["id"] for one in told("filters", "list", *options)]
    assert told("filters", "list", "--user", user.username) == []


def test_a_filter_is_changed_switched_and_removed(ann, user):
    made = add("--user", user.username)
    number = str(made.pk)
    other = {"any": [HIGH, {"field": "owner", "operator": "eq", "value": "me"}]}
    text = json.dumps(other)
    done("filters", "change", number, "--name", "Mine", "--criteria", "-", stdin=text)
    made.refresh_from_db()
    assert (made.name, made.criteria) == ("Mine", other)
    done("filters", "deactivate", number)
    assert told("filters", "show", number)["active"] is False
    done("filters", "activate", number)
    assert told("filters", "show", number)["active"] is True
    done("filters", "remove", number)
    assert told("filters", "list", "--user", user.username) == []
    assert "see `syncservice filters list`" in wrong("filters", "show", number)


@pytest.mark.parametrize(("criteria", "said"), [
    ({"field": "colour", "operator": "eq", "value": "red"}, "There is no field “colour”"),
    ({"field": "priority", "operator": "today"}, "priority can't be asked “today”"),
    ({"all": []}, "“all” is a list with at least one condition."),
])  # fmt: skip
def test_criteria_that_can_not_be_applied_are_refused(user, criteria, said):
    command = ("filters", "add", "task", "x", "--system", "--criteria", "-")
    error = run(*command, stdin=json.dumps(criteria)).exception
    assert said in " ".join(error.messages)
    assert not SyncFilter.objects.filter(kind="system").exists()


def test_what_is_no_filter_is_told_so(user):
    add_it = ("filters", "add", "task", "x", "--criteria", "-")
    assert "the criteria are no JSON" in run(*add_it, "--system", stdin="{").stderr
    assert "give one of --user" in wrong(*add_it)
    assert "give one of --user" in wrong(*add_it, "--system", "--template")
    assert "there is no CRM user" in wrong(*add_it, "--user", "nobody")


def test_a_second_template_for_new_users_is_refused(user):
    assert "There is a template for new users already." in refused(
        "filters", "change", str(add("--template").pk), "--for-new-users"
    )
    mine = add("--user", user.username)
    assert "Only a template" in refused("filters", "change", str(mine.pk), "--for-new-users")


def test_a_user_gets_templates_and_the_default_filters(ann, user):
    template = add("--template", name="Loud")
    done("filters", "give", "--user", user.username, str(template.pk))
    (copy,) = told("filters", "list", "--user", user.username)
    assert copy["name"] == "Loud"
    assert items.is_woken(ann)
    done("filters", "reset", "--user", user.username)
    names = {one["name"] for one in told("filters", "list", "--user", user.username)}
    assert names == {name for _, name, _ in DEFAULTS}
    mine = told("filters", "list", "--user", user.username)[0]["id"]
    assert "Only templates" in refused("filters", "give", "--user", user.username, str(mine))


def test_what_filters_select_for_a_user_is_counted(user):
    Task.objects.create(subject="a", status=2, priority=2)
    Task.objects.create(subject="b", status=2, priority=1)
    Contact.objects.create(last_name="Ash", owner=user)
    add("--user", user.username)
    add("--system", criteria={"field": "subject", "operator": "eq", "value": "none"})
    off = add("--system", criteria={"field": "subject", "operator": "begins", "value": "b"})
    done("filters", "deactivate", str(off.pk))
    counted = {one["items"]: one for one in told("filters", "preview", "--user", user.username)}
    assert (counted["task"]["filters"], counted["task"]["records"]) == (2, 1)
    assert (counted["contact"]["filters"], counted["contact"]["records"]) == (0, 0)
