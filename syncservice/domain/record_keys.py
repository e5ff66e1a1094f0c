"""What an item bears of its record: "<organisation>/<record>", two UUIDs (F205, F214).

A mailbox may have been kept in step by several organisations: each knows its own items by that.
"""

from uuid import UUID


def record_key(identity: UUID, key: UUID) -> str:
    """Return what an item of an organisation bears of a record."""
    return f"{identity}/{key}"


def key_of(borne: str, identity: UUID) -> UUID | None:
    """Return the record that an item bears; None: it bears none, or another organisation's."""
    named, key = _read(borne)
    return key if named == identity else None


def is_anothers(borne: str, identity: UUID) -> bool:
    """Whether an item is a record of another organisation; what says nothing is nobody's."""
    named, key = _read(borne)
    return named is not None and key is not None and named != identity


def _read(borne: str) -> tuple[UUID | None, UUID | None]:
    identity, _, key = borne.partition("/")
    return _uuid(identity), _uuid(key)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
