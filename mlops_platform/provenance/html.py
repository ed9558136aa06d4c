"""HTML as values: whatever is text is escaped, so that no name, key or reason can become markup."""

from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

_VOID = frozenset({"meta", "br"})


@dataclass(frozen=True)
class Markup:
    """A piece of HTML that was put together here."""

    text: str


def tag(element: str, /, *children: "str | int | float | Markup | None", **attributes: str | None) -> Markup:
    """An element.

    Args:
        element: Its name; never text from elsewhere.
        children: Texts, which are escaped, and elements; None is left out.
        attributes: Values, which are escaped; ``class_`` is ``class``; None is left out.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in _VOID:
        return Markup(f"<{element}{told}>")
    return Markup(f"<{element}{told}>{joined(*children).text}</{element}>")


def joined(*children: "str | int | float | Markup | None") -> Markup:
    """Texts, which are escaped, and elements, one after another."""
    given = (child for child in children if child is not None)
    return Markup("".join(child.text if isinstance(child, Markup) else escape(str(child)) for child in given))


def link(text: str, url: str | None) -> Markup:
    """A link to a page of HTTP; text alone where the address is of another kind."""
    if url is None or urlsplit(url).scheme not in ("http", "https"):
        return tag("span", text)
    return tag("a", text, href=url, rel="noreferrer")


def table(head: tuple[str, ...], rows: "list[tuple[str | int | float | Markup | None, ...]]") -> Markup:
    """A table; of a narrow screen it scrolls by itself."""
    top = tag("tr", *(tag("th", text) for text in head))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    return tag("div", tag("table", tag("thead", top), tag("tbody", *body)), class_="wide")


def fold(title: str, *children: "str | int | float | Markup | None", open_: bool = False) -> Markup:
    """What a reader opens when it is wanted."""
    return tag("details", tag("summary", title), *children, open="" if open_ else None)
