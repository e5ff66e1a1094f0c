"""Moments and lengths as people say them, the exact moment behind; all in UTC."""

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def duration(time: timedelta) -> str:
    """Say a length in its largest unit: "45 s", "7 min", "5 h", "3 d"."""
    seconds = max(time.total_seconds(), 0)
    if seconds < 10 and seconds != int(seconds):
        return _("%(number)s s") % {"number": number_format(round(seconds, 1), use_l10n=True)}
    if seconds < 60:
        return _("%(number)s s") % {"number": int(seconds)}
    if seconds < 3600:
        return _("%(number)s min") % {"number": int(seconds // 60)}
    if seconds < 48 * 3600:
        return _("%(number)s h") % {"number": int(seconds // 3600)}
    return _("%(number)s d") % {"number": int(seconds // 86400)}


@register.filter
def seconds(number: float) -> str:
    return duration(timedelta(seconds=number))


@register.filter
def relative(moment: datetime | None) -> SafeString | str:
    """Say how long ago, or in how long, with the exact moment on hover."""
    if moment is None:
        return "—"
    ahead = moment - timezone.now()
    whole = timedelta(seconds=int(abs(ahead.total_seconds())))
    if ahead > timedelta(0):
        words = _("in %(length)s") % {"length": duration(whole)}
    else:
        words = _("%(length)s ago") % {"length": duration(whole)}
    return _time_element(moment, words)


@register.filter
def due(moment: datetime) -> SafeString:
    """Say when a visit is due; one that is overdue waits for a free worker."""
    if moment <= timezone.now():
        return _time_element(moment, _("due now"))
    return SafeString(relative(moment))


@register.filter
def exact(moment: datetime | None) -> SafeString | str:
    """Say the moment to the second."""
    return "—" if moment is None else _time_element(moment, _to_the_second(moment))


@register.filter
def clock(moment: datetime) -> SafeString:
    """Say the time of day."""
    return _time_element(moment, f"{moment.astimezone(UTC):%H:%M:%S} UTC")


def _time_element(moment: datetime, words: str) -> SafeString:
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(UTC).isoformat(),
        _to_the_second(moment),
        words,
    )


def _to_the_second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
