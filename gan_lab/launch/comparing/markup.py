"""HTML by hand: whatever is not markup already is escaped, so nothing can be forgotten."""

import base64
import html
from collections.abc import Iterable


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def text(content: object) -> Markup:
    """Markup as it is, anything else escaped.

    >>> text("a < b & 'c'")
    'a &lt; b &amp; &#x27;c&#x27;'
    """
    return content if isinstance(content, Markup) else Markup(html.escape(str(content)))


def join(parts: Iterable[object]) -> Markup:
    return Markup("".join(text(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element; a trailing `_` of an attribute's name is dropped, further `_` become `-`.

    >>> tag("p", "1 < 2", class_="x")
    '<p class="x">1 &lt; 2</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def void(name: str, **attributes: object) -> Markup:
    """An element that has no content, such as an image."""
    return Markup(tag(name, **attributes).removesuffix(f"</{name}>"))


def png_address(content: bytes) -> str:
    """A picture inside the page."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
