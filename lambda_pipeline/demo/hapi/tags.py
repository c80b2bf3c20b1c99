"""Profiles, tags and security labels, which HAPI takes out of `meta` and stores in tables of their own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

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


def merge_tags(stored: Iterable[Tag], sent: frozenset[Tag]) -> frozenset[Tag]:
    """The tags after an update: profiles are replaced, tags and labels are added (HAPI's default)."""
    return sent | {tag for tag in stored if tag.type is not TagType.PROFILE}


def _tag_of_coding(tag_type: TagType, coding: Mapping[str, Any]) -> Tag:
    return Tag(tag_type, coding.get("system"), coding.get("code"), coding.get("version"), coding.get("userSelected"))
