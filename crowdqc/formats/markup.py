"""XML of the user's, element by element, through a parser that knows no entities and no DTD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, ParseError, TreeBuilder, indent

from crowdqc.files import Unreadable, opened

BYTES_MAX = 4_000_000_000
"""An XML file larger than this is not read."""
PART_BYTES_MAX = 16_000_000
"""Most bytes of one child of the root: in memory it takes twenty times as much."""
DEPTH_MAX = 50
"""Annotations are not nested deeper."""
_CHUNK = 1 << 16


class _Children(TreeBuilder):
    """Collects the children of the root with their lines, and forgets them once they are taken."""

    def __init__(self, root: str, attributes: dict[str, str] | None) -> None:
        super().__init__()
        self._attributes = attributes
        self.done: list[tuple[Element, int]] = []
        self.parser: Any = None
        self._tag = root
        self._root: Element | None = None
        self._depth = 0
        self._line = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        tag = tag.rpartition("}")[2]  # names without their namespace
        if self._depth == 0 and tag != self._tag:
            raise Unreadable(f"begins with <{tag[:60]}>, not with <{self._tag}>.")
        if self._depth == 0 and self._attributes is not None:
            self._attributes.update(attrs)
        if self._depth == 1:
            self._line = self.parser.CurrentLineNumber
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise Unreadable(f"nests elements more than {DEPTH_MAX} deep.")
        element = super().start(tag, attrs)
        if self._root is None:
            self._root = element
        return element

    def end(self, tag: str) -> Element:
        element = super().end(tag.rpartition("}")[2])
        self._depth -= 1
        if self._depth == 1 and self._root is not None:
            self.done.append((element, self._line))
            self._root.clear()
        return element


def children(
    path: str | Path,
    root: str,
    limit: int = BYTES_MAX,
    *,
    attributes: dict[str, str] | None = None,
) -> Iterator[tuple[Element, int]]:
    """Each child of the root element of an XML file, with the line on which it begins.

    Only one of them is held at a time, so a large file needs little memory. The attributes of the
    root are put into `attributes`.

    Parameters
    ----------
    path : str or Path
        Of the file, as it is.
    root : str
        Name that the root element must have.
    limit : int
        Bytes of the file, unpacked.
    attributes : dict, optional
        Is filled with the attributes of the root.

    Raises
    ------
    Unreadable
        If the file cannot be opened, is no XML, declares a DTD or an entity, or has another
        root element than `root`.
    """
    from defusedxml import DefusedXmlException  # noqa: PLC0415 - only where there is XML
    from defusedxml.ElementTree import DefusedXMLParser  # noqa: PLC0415

    target = _Children(root, attributes)
    parser = DefusedXMLParser(target=target, forbid_dtd=True)
    target.parser = parser.parser
    try:
        n_unfinished = 0
        for chunk in _chunks(path, limit):
            parser.feed(chunk)
            n_unfinished = 0 if target.done else n_unfinished + len(chunk)
            if n_unfinished > PART_BYTES_MAX:
                raise Unreadable(f"has an element of more than {PART_BYTES_MAX} bytes.")
            yield from target.done
            target.done.clear()
        parser.close()
    except DefusedXmlException as error:
        problem = "declares a DTD or entities, which annotations do not need and which may harm."
        raise Unreadable(problem) from error
    except (ParseError, ValueError, LookupError) as error:
        raise Unreadable(f"is not XML that can be read: {str(error)[:200]}.") from error
    yield from target.done


def _chunks(path: str | Path, limit: int) -> Iterator[bytes]:
    total = 0
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            total += len(chunk)
            if total > limit:
                raise Unreadable(f"has more than {limit} bytes.")
            yield chunk


def write_xml(root: Element, path: Path, *, declared: bool = True) -> None:
    """Write an element as an indented XML file; without its first line if not `declared`.

    Parameters
    ----------
    root : Element
        Gets line breaks between its children.
    path : Path
        Is written over.
    declared : bool
        Whether the file begins with ``<?xml ...?>``.
    """
    indent(root)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=declared)
