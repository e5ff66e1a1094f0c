"""Values of appointments, contacts and tasks in templates."""

from django import template

from syncservice.console import item_wording
from syncservice.domain.item_values import Value

register = template.Library()


@register.filter
def value_name(name: str) -> str:
    return item_wording.name_of(name)


@register.filter
def value_text(value: Value) -> str:
    return item_wording.text_of(value)
