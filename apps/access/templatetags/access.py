"""Tags about the person who looks at a page."""

from typing import Any

from django import template

from apps.access import second_factor

register = template.Library()


@register.inclusion_tag("account/second_factor_note.html")
def second_factor_note(user: Any) -> dict[str, Any]:
    """Tell a person without a second factor of it; shows nothing to others."""
    return {"offered": user.is_authenticated and second_factor.is_offered(user)}
