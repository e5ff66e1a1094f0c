"""Logging of every process: an event a line, facts as fields; no address, subject or secret."""

import logging
import sys

import structlog
from kombu.exceptions import KombuError
from redis import RedisError
from structlog.typing import EventDict, Processor

#: What these libraries print at lower levels holds requests and answers: mail and passwords.
_QUIET = {"exchangelib": logging.CRITICAL, "urllib3": logging.ERROR, "spnego": logging.CRITICAL}


def _outage_in_a_line(_: object, __: str, event: EventDict) -> EventDict:
    """A store that is away is no bug: what a library says of it needs no traceback."""
    info = event.get("exc_info")
    if isinstance(info, tuple) and isinstance(info[1], OSError | RedisError | KombuError):
        event["exc_info"] = None
    return event


def set_up(level: str, style: str) -> None:
    """Send events of structlog and of libraries to standard error, as text or as JSON lines."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_outage_in_a_line, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
