"""Is everything in order? One line for the settings, each store and each mail server."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from syncservice.domain.faults import FaultError
from syncservice.mailboxes.models import EmailServerProfile
from syncservice.servers import registry
from syncservice.servers.slots import Slots


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, and one sentence."""

    subject: str
    is_well: bool
    text: str


def findings() -> Iterator[Finding]:
    """Look at everything; what depends on a store that is down is left out."""
    yield Finding("settings", True, "every value is as expected")
    yield _redis()
    database = _database()
    yield database
    if database.is_well:
        for profile in EmailServerProfile.objects.filter(is_active=True).order_by("name"):
            yield _mail_server(profile)


def database_problem(error: DatabaseError) -> str:
    """Say in one sentence what PostgreSQL's error means for the operator."""
    text = str(error).strip()
    place = _place(settings.DATABASES["default"])
    if "authentication failed" in text:
        return f"PostgreSQL at {place} refuses the user or password in DATABASE_URL; correct them"
    if 'relation "' in text and "does not exist" in text:
        return "the database has no tables of this version: run `syncservice manage migrate`"
    if "does not exist" in text:
        return f"PostgreSQL at {place} has no such database; create it or correct DATABASE_URL"
    reason = text.partition("\n")[0].rpartition("failed: ")[2]
    return (
        f"PostgreSQL at {place} can't be used ({reason}); "
        "see that it runs and that DATABASE_URL is right"
    )


def _place(database: dict[str, Any]) -> str:
    return f"{database.get('HOST') or 'localhost'}:{database.get('PORT') or 5432}"


def _database() -> Finding:
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("PostgreSQL", False, database_problem(error))
    if missing:
        return Finding(
            "PostgreSQL",
            False,
            f"{len(missing)} migrations are missing: run `syncservice manage migrate`",
        )
    return Finding("PostgreSQL", True, f"answers at {_place(connection.settings_dict)}")


def _redis() -> Finding:
    client = _redis_client()
    keywords = client.connection_pool.connection_kwargs
    place = keywords.get("path") or f"{keywords.get('host')}:{keywords.get('port')}"
    try:
        client.ping()
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
    except redis.AuthenticationError:
        return Finding("Redis", False, f"{place} refuses the password in REDIS_URL; correct it")
    except redis.exceptions.NoPermissionError:
        policy = None  # a hosted Redis may not show its configuration
    except redis.RedisError:
        return Finding(
            "Redis",
            False,
            f"nothing answers at {place}; see that Redis runs and that REDIS_URL is right",
        )
    if policy not in (None, "noeviction"):
        return Finding(
            "Redis",
            False,
            f"evicts keys ({policy}), which loses queues; set maxmemory-policy noeviction",
        )
    return Finding("Redis", True, f"answers at {place}")


def _redis_client() -> "redis.Redis":
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)


def _mail_server(profile: EmailServerProfile) -> Finding:
    """Ask for one change of one mailbox: that tries address, certificate, password and rights."""
    subject = f"{profile.name} ({profile.location})"
    mailbox = (
        profile.mailboxes.filter(is_active=True).exclude(email_address="").order_by("pk").first()
    )
    if mailbox is None:
        return Finding(subject, True, "no mailbox uses this profile yet, so nothing was asked")
    slots = Slots(_redis_client(), settings.CLAIM_LEASE, settings.SLOT_RETRY)
    accounts = registry.accounts(mailbox, profile.maximum_concurrent_connections)
    admit = slots.meter(str(profile.pk), profile.maximum_requests_per_second)
    try:
        with (
            slots.hold(accounts, f"check:{uuid4()}"),
            registry.incoming(mailbox, admit) as gateway,
        ):
            gateway.page("", 1)
    except FaultError as error:
        return Finding(subject, False, f"{error.fault.text} [{error.fault.code}]")
    return Finding(subject, True, f"let us read the Inbox of {mailbox.email_address}")
