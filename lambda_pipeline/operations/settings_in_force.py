"""The settings of this process as an operator may see them: values without secrets, and where each comes from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AliasChoices, SecretStr

from lambda_pipeline.settings import PREFIX, Settings

MASK = "***"
_SECRET_PARAMETER = re.compile(r"pass|secret|token|key|auth", re.IGNORECASE)


class Origin(StrEnum):
    """Where a value comes from; no setting is read from a file."""

    DEFAULT = "default"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """One setting.

    Attributes:
        name: in `Settings`.
        variable: of the environment.
        value: as JSON has it, without passwords; None where none is set.
        origin: where it comes from.
        description: what it means, where the name does not say it.
    """

    name: str
    variable: str
    value: Any
    origin: Origin
    description: str

    def as_json(self) -> dict[str, Any]:
        """For `settings --json`."""
        return {
            "name": self.name,
            "variable": self.variable,
            "value": self.value,
            "source": str(self.origin),
            "description": self.description,
        }


def settings_in_force(settings: Settings, environment: Mapping[str, str]) -> list[SettingInForce]:
    """Every setting, in the order of their definition.

    Args:
        settings: as they were read.
        environment: that they were read from.
    """
    given = {name.upper() for name in environment}
    found = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{PREFIX}{name}".upper()
        origin = Origin.ENVIRONMENT if variable.upper() in given else Origin.DEFAULT
        value = _show(name, getattr(settings, name))
        found.append(SettingInForce(name, variable, value, origin, field.description or ""))
    return found


def mask_url(url: str, *, hide_path: bool = False) -> str:
    """A URL without its password, and without values of parameters that may be one; `***` where it is no URL.

    Args:
        url: of any scheme.
        hide_path: also without what follows the host, which is the secret of a webhook.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    if not parts.scheme:
        return MASK
    if hide_path:
        return f"{parts.scheme}://{parts.hostname}{port}/{MASK}"
    query = "&".join(_mask_parameter(each) for each in parts.query.split("&")) if parts.query else ""
    return urlunsplit(SplitResult(parts.scheme, _mask_password(parts.netloc), parts.path, query, ""))


def _show(name: str, value: object) -> Any:
    if isinstance(value, SecretStr):
        return mask_url(value.get_secret_value(), hide_path="webhook" in name)
    if isinstance(value, str) and "://" in value:
        return mask_url(value)
    if isinstance(value, Path | str):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and not value < float("inf"):
        return str(value)  # JSON has no infinity
    return value


def _mask_password(place: str) -> str:
    """`user:password@host` without the password; a password may contain an `@`."""
    account, at, host = place.rpartition("@")
    user, colon, _ = account.partition(":")
    return f"{user}{colon}{MASK if colon else ''}{at}{host}"


def _mask_parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    return f"{name}{equals}{MASK}" if _SECRET_PARAMETER.search(name) else text
