"""Ids of activities are UUIDs version 7."""

from syncservice.crm.ids import activity_id


def test_an_id_is_a_uuid_of_version_7():
    made = activity_id()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_ids_made_later_sort_later_and_none_is_made_twice():
    ids = [activity_id() for _ in range(10_000)]
    milliseconds = [made.int >> 80 for made in ids]
    assert milliseconds == sorted(milliseconds)
    assert len(set(ids)) == len(ids)
