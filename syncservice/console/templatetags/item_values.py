"""Values of appointments, contacts and tasks in templates."""

from django import template

from syncservice.console import item_wording
from syncservice.domain.item_values import Value

register = template.Library()


@register.filter
def value_name(name: str) -> str:
    return item_wording.name_of(name)


@register.filter
def masked_name(name: str) -> str:
    return item_wording.name_of(name, is_masked=True)


@register.filter
def value_text(value: Value, name: str) -> str:
    return item_wording.text_of(value, name)
