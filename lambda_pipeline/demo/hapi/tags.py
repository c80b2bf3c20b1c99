"""Profiles, tags and security labels, which HAPI takes out of `meta` and stores in tables of their own."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from lambda_pipeline.errors import BadDataError

_LONGEST = {"system": 200, "code": 200, "display": 200, "version": 30}
"""Characters of the columns of HFJ_TAG_DEF."""
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
PROFILE_SYSTEM = "https://github.com/hapifhir/hapi-fhir/ns/jpa/profile"


class TagType(IntEnum):
    """TAG_TYPE of HFJ_TAG_DEF."""

    TAG = 0
    PROFILE = 1
    SECURITY = 2


@dataclass(frozen=True, slots=True)
class Tag:
    """One row of HFJ_TAG_DEF without its key; the display is not part of a tag's identity."""

    type: TagType
    system: str | None
    code: str | None
    version: str | None = None
    user_selected: bool | None = None


def tags_of(meta: Mapping[str, Any] | None) -> frozenset[Tag]:
    """The profiles, tags and security labels of a `meta` element."""
    meta = meta or {}
    profiles = (Tag(TagType.PROFILE, PROFILE_SYSTEM, url) for url in meta.get("profile", ()))
    tags = (_tag_of_coding(TagType.TAG, coding) for coding in meta.get("tag", ()))
    labels = (_tag_of_coding(TagType.SECURITY, coding) for coding in meta.get("security", ()))
    return frozenset((*profiles, *tags, *labels))


def check_meta(meta: object) -> None:
    """Refuse a `meta` element whose profiles, tags or labels cannot be stored.

    Raises:
        BadDataError: it has another shape than FHIR's, or a text that is too long; the message names the element.
    """
    if meta is None:
        return
    if not isinstance(meta, Mapping):
        raise BadDataError("meta is not an object")
    for name, check in (("profile", _is_profile), ("tag", _is_coding), ("security", _is_coding)):
        listed = meta.get(name, ())
        if not isinstance(listed, list | tuple) or not all(map(check, listed)):
            raise BadDataError(f"meta.{name} is not a list of {'URLs' if name == 'profile' else 'codings'} of FHIR")


def _is_profile(value: object) -> bool:
    return _is_text(value, _LONGEST["system"])


def _is_coding(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and all(value.get(name) is None or _is_text(value[name], longest) for name, longest in _LONGEST.items())
        and (value.get("userSelected") is None or isinstance(value["userSelected"], bool))
    )


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and _UNSTORABLE.search(value) is None


def merge_tags(stored: Iterable[Tag], sent: frozenset[Tag]) -> frozenset[Tag]:
    """The tags after an update: profiles are replaced, tags and labels are added (HAPI's default)."""
    return sent | {tag for tag in stored if tag.type is not TagType.PROFILE}


def _tag_of_coding(tag_type: TagType, coding: Mapping[str, Any]) -> Tag:
    return Tag(tag_type, coding.get("system"), coding.get("code"), coding.get("version"), coding.get("userSelected"))
