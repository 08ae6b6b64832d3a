"""How is HTML made here? Of tags whose text is escaped unless a tag made it: names in a report come from people."""

from collections.abc import Iterable

from django.utils.html import conditional_escape, format_html_join
from django.utils.safestring import SafeString, mark_safe

VOID = frozenset({"line", "rect", "path", "circle", "br", "col", "meta"})


def tag(name: str, *children: object, **attributes: object) -> SafeString:
    """Return one element; an underscore in an attribute is a hyphen, one at its end goes, and None is left out."""
    spelled = "".join(
        f' {_attribute(key)}="{_escaped(value)}"' for key, value in attributes.items() if value is not None
    )
    if name in VOID and not children:
        return mark_safe(f"<{name}{spelled}/>")  # noqa: S308 # every value was escaped above
    inner = "".join(_escaped(child) for child in children)
    return mark_safe(f"<{name}{spelled}>{inner}</{name}>")  # noqa: S308 # every child was escaped above


def joined(parts: Iterable[object]) -> SafeString:
    """Return parts one after the other, escaped unless a tag made them."""
    return format_html_join("", "{}", ((part,) for part in parts))


def _escaped(value: object) -> SafeString:
    return conditional_escape(value if isinstance(value, str) else str(value))


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
