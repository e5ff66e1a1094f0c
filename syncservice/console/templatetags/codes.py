"""What a code means, in the reader's language: servers' and our own stored texts are English."""

from typing import TYPE_CHECKING

from django import template

from syncservice.alerts.catalogue import entry_of

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

register = template.Library()


@register.filter
def meaning(code: str) -> "_StrPromise":
    return entry_of(code).meaning
