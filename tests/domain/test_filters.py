"""Criteria say what they select, or what is wrong with them."""

from datetime import date

import pytest

from syncservice.domain.filters import (
    DEEPEST_GROUP,
    FIELDS,
    MOST_CONDITIONS,
    OPERATORS,
    BadCriteriaError,
    Condition,
    Entity,
    Group,
    Operator,
    is_relative,
    parse,
)

MINE = {"field": "owner", "operator": "eq", "value": "me"}


def condition(field: str, operator: str, value: object = None) -> dict[str, object]:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("entity", "data", "read"),
    [
        ("contact", MINE, Condition("owner", Operator.EQ, "me")),
        ("contact", condition("owner", "ne", 7), Condition("owner", Operator.NE, 7)),
        ("contact", condition("account", "is_empty"), Condition("account", Operator.IS_EMPTY)),
        ("contact", condition("last_name", "begins", "Bo"),
         Condition("last_name", Operator.BEGINS, "Bo")),
        ("contact", condition("birthday", "on", "1970-12-31"),
         Condition("birthday", Operator.ON, date(1970, 12, 31))),
        ("task", condition("due_at", "next_days", 7), Condition("due_at", Operator.NEXT_DAYS, 7)),
        ("fax", condition("due_at", "today"), Condition("due_at", Operator.TODAY)),
        ("appointment", condition("status", "in", ["busy", "free"]),
         Condition("status", Operator.IN, ("busy", "free"))),
        ("appointment", condition("party", "eq", "me"), Condition("party", Operator.EQ, "me")),
        ("contact", {"any": [MINE, {"all": [condition("state", "eq", "active"), MINE]}]},
         Group(True, (
             Condition("owner", Operator.EQ, "me"),
             Group(False, (
                 Condition("state", Operator.EQ, "active"),
                 Condition("owner", Operator.EQ, "me"),
             )),
         ))),
    ],
)  # fmt: skip
def test_criteria_are_read(entity, data, read):
    assert parse(Entity(entity), data) == read


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "A condition or a group is an object."),
        ("owner = me", "A condition or a group is an object."),
        ({"all": []}, "“all” is a list with at least one condition."),
        ({"any": MINE}, "“any” is a list with at least one condition."),
        ({"all": [MINE], "any": [MINE]}, "A condition has no “all”."),
        ({**MINE, "not": True}, "A condition has no “not”."),
        ({}, "There is no field “None”; there are account"),
        (condition("status", "eq", "busy"), "There is no field “status”; there are account"),
        (condition(7, "eq", 7), "There is no field “7”"),
        (condition("owner", "contains", "x"),
         "owner can't be asked “contains”, but eq, is_empty, ne, not_empty."),
        (condition("owner", None, "x"), "owner can't be asked “None”"),
        (condition("owner", "is_empty", "x"), "owner: “is_empty” takes no value."),
        (condition("owner", "eq", "you"), "owner: the value is the number of a record."),
        (condition("owner", "eq", True), "owner: the value is the number of a record."),
        (condition("owner", "eq", 2**63), "owner: the value is the number of a record."),
        (condition("account", "eq", "me"), "account: the value is the number of a record."),
        (condition("state", "eq", "open"), "state: the value is one of active, inactive."),
        (condition("state", "in", "active"), "state: the value is a list of choices."),
        (condition("state", "in", []), "state: the value is a list of choices."),
        (condition("last_name", "eq", ""),
         "last_name: the value is a text of 1 to 255 characters."),
        (condition("last_name", "eq", "x" * 256),
         "last_name: the value is a text of 1 to 255 characters."),
        (condition("birthday", "on", "31 March"),
         "birthday: the value is a date, as “2026-03-31”."),
        (condition("birthday", "on", 20260331), "birthday: the value is a date"),
        (condition("birthday", "on", "9999-12-31"), "birthday: the date lies from 1601 to 4500."),
        (condition("birthday", "last_days", 0),
         "birthday: the value is a number of days, from 1 to 3650."),
        (condition("birthday", "last_days", 1.5), "birthday: the value is a number of days"),
    ],
)  # fmt: skip
def test_a_problem_is_one_sentence(data, problem):
    with pytest.raises(BadCriteriaError) as caught:
        parse(Entity.CONTACT, data)
    (said,) = caught.value.problems
    assert said.startswith(problem)
    assert said.endswith(".")


def test_every_problem_is_told():
    with pytest.raises(BadCriteriaError) as caught:
        parse(Entity.TASK, {"all": [MINE, condition("due", "on", "x"), condition("owner", "on")]})
    assert len(caught.value.problems) == 2


def test_criteria_are_bounded():
    assert parse(Entity.CONTACT, {"all": [MINE] * MOST_CONDITIONS})
    for many in (MINE, None):
        with pytest.raises(BadCriteriaError) as caught:
            parse(Entity.CONTACT, {"all": [many] * 100_000})
        assert caught.value.problems == [f"There are more than {MOST_CONDITIONS} conditions."]

    nested = MINE
    for _ in range(DEEPEST_GROUP):
        nested = {"all": [nested]}
    assert parse(Entity.CONTACT, nested)
    for _ in range(100_000):
        nested = {"all": [nested]}
    with pytest.raises(BadCriteriaError) as caught:
        parse(Entity.CONTACT, nested)
    assert caught.value.problems == ["Groups stand in each other 5 deep at most."]


@pytest.mark.parametrize("operator", Operator)
def test_only_days_counted_from_today_are_relative(operator):
    read = Group(False, (Condition("owner", Operator.EQ, 1), Condition("due_at", operator, 1)))
    assert is_relative(read) == (operator in ("today", "last_days", "next_days"))


def test_every_field_can_be_asked_something():
    for entity in Entity:
        assert entity.kind
        for field in FIELDS[entity].values():
            assert OPERATORS[field.type]
