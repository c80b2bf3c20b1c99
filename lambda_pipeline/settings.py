"""All settings, with types and defaults; read from environment variables, never from a file.

Servers have common names: `HAPI_DB_URL`, `REDIS_URL`, `DAGSTER_PG_URL`. Every other setting is
`LAMBDA_PIPELINE_<NAME>`. Where no URL is set, an embedded server is used (`development/embedded/`).
"""

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lambda_pipeline.environment import check_cron, check_redis_url, find_unknown, read_postgresql_url
from lambda_pipeline.errors import ConfigurationError

PACKAGE = Path(__file__).resolve().parent
PREFIX = "LAMBDA_PIPELINE_"
LAUNCHER_VARIABLES = frozenset({f"{PREFIX}DAGSTER_DIR"})
"""Names with our prefix that are no settings: `dagster.yaml` reads them."""

_ADDRESS = re.compile(r"[^\s@,<>]+@[^\s@,<>]+")


def project_root() -> Path:
    """The checkout that the package is installed from (it contains `dagster.yaml`), else the current directory."""
    return PACKAGE.parent if (PACKAGE.parent / "dagster.yaml").exists() else Path.cwd()


def sql_directory() -> Path:
    """The folder with schema, roles, saved queries and views: `sql/` of a checkout, or its copy in a wheel."""
    packaged = PACKAGE / "sql"
    return packaged if packaged.exists() else PACKAGE.parent / "sql"


def _default_home() -> Path:
    return project_root() / ".lambda_pipeline"


def _default_view_definitions() -> Path:
    return sql_directory() / "view_definitions"


def _default_cohorts() -> Path:
    return sql_directory() / "cohorts"


def _default_queries() -> Path:
    return sql_directory() / "queries"


def _default_code_sets() -> Path:
    return sql_directory() / "code_sets"


Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Settings of every process of one deployment; immutable once read."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, populate_by_name=True, extra="ignore"
    )

    home: Path = Field(default_factory=_default_home, description="Folder of the embedded servers and of results.")
    hapi_db_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("HAPI_DB_URL", "hapi_db_url"),
        description="postgresql://… of HAPI's database; the batch views live in it, in a schema of their own.",
    )
    batch_db_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("BATCH_DB_URL", "batch_db_url"),
        description="Reserved: a separate database for the batch views. Refused until it is built.",
    )
    redis_url: SecretStr | None = Field(None, validation_alias=AliasChoices("REDIS_URL", "redis_url"))
    dagster_pg_url: SecretStr | None = Field(None, validation_alias=AliasChoices("DAGSTER_PG_URL", "dagster_pg_url"))

    view_definitions: Path = Field(default_factory=_default_view_definitions)
    cohorts: Path = Field(default_factory=_default_cohorts, description="Folder of the cohort definitions.")
    code_sets: Path = Field(default_factory=_default_code_sets, description="Folder of the code sets.")
    queries: Path = Field(default_factory=_default_queries, description="Folder of the saved queries.")
    hapi_schema: str = Field("public", description="Schema of HAPI's own tables.")
    source_timezone: str = Field("UTC", description="Zone of HAPI's JVM: its timestamps carry none.")

    nightly_cron: str = "0 2 * * *"
    timezone: str = Field("UTC", description="Zone of the nightly schedule.")

    speed_layer: bool = Field(
        default=True,
        description="Off: no polling; live answers read the changes since the generation from HAPI's tables.",
    )
    poll_interval_s: Seconds = 1.0
    tick_budget_s: Seconds = Field(4.0, description="How long one sensor tick keeps polling; Dagster's loop takes 5 s.")
    report_interval_s: Seconds = Field(60.0, description="The speed asset is reported at least this often.")
    poll_overlap_s: Seconds = Field(
        60.0,
        description="How far before the last poll a ranged poll starts: HAPI's time until commit, and clock skew.",
    )
    exact_scan_max_rows: int = Field(
        500_000,
        ge=0,
        description="Every poll scans tables up to this size by xmin, so that HAPI's timestamps are not trusted.",
    )
    sweep_interval_s: Seconds = Field(
        30.0, description="Larger tables: interval between polls that scan by xmin (sweeps)."
    )
    poll_page_rows: int = Field(5_000, ge=1, description="Resources flattened in one statement by a poll.")
    ttl_hours: float = Field(168.0, gt=0, description="Safety net of overlay entries, far above the refresh interval.")
    ttl_hours_by_type: Annotated[dict[str, float], NoDecode] = Field(default_factory=dict)
    overlay_max_entries: int = Field(200_000, ge=1)
    overlay_max_bytes: int = Field(512 * 1024 * 1024, ge=1)
    redis_prefix: str = "lambda_pipeline"
    redis_timeout_s: Seconds = 5.0

    build_chunk_rows: int = Field(10_000, ge=1, description="Resources flattened in one statement by a build.")
    pool_size: int = Field(5, ge=1)
    connect_timeout_s: int = Field(5, ge=1)
    query_timeout_s: Seconds = 120.0
    answer_max_rows: int = Field(2_000_000, ge=1, description="Rows that one answer may have.")
    answer_max_bytes: int = Field(512 * 1024 * 1024, ge=1, description="Bytes of text that one answer may have.")
    disclosure_min_cell: int | None = Field(
        None,
        ge=0,
        description="Counts of cohorts from 1 to below this are not shown. None stands for 11 in jobs and for none "
        "elsewhere; 0 shows all.",
    )
    refresh_lock_timeout_s: float = Field(3_600.0, ge=0, description="How long a refresh waits for another one to end.")
    refresh_retry_for_s: float = Field(
        4 * 3_600.0, ge=0, description="How long Dagster's refresh is repeated while a server is away; 0: never."
    )
    refresh_retry_first_s: Seconds = Field(
        10.0, description="Wait before the first repetition; each further one doubles it."
    )
    refresh_retry_longest_s: Seconds = Field(900.0, description="The longest wait between two attempts.")
    parity_sample: int = Field(
        200, ge=0, description="Resources compared with a recompute after each refresh, per view and side."
    )
    freshness_target_s: float | None = Field(
        None,
        gt=0,
        description="Default for live answers: read the source when the frontier is older than this. None stands for "
        "30 seconds, or three poll intervals if those are longer; inf for any age.",
    )
    read_source_on_gap: bool = Field(default=True, description="Off: refuse live answers where the overlay has a gap.")

    notify_webhook_url: SecretStr | None = Field(
        None, description="Failures are sent here as JSON, whose `text` is what Slack's webhooks show."
    )
    notify_mail_to: Annotated[tuple[str, ...], NoDecode] = Field((), description="Addresses, with commas in between.")
    notify_smtp_url: SecretStr | None = Field(None, description="smtp://user:password@host:587 or smtps://host.")
    notify_mail_from: str = Field("", description="By default lambda_pipeline at this host.")
    notify_interval_s: Seconds = Field(
        900.0, description="One notice of a subject in this time, and one when it is over."
    )
    notify_timeout_s: Seconds = Field(5.0, description="How long a webhook or mail server may take.")

    @field_validator("notify_webhook_url", "notify_smtp_url")
    @classmethod
    def _can_be_told(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = ("http", "https") if info.field_name == "notify_webhook_url" else ("smtp", "smtps")
        try:
            parts = urlsplit(url.get_secret_value()) if url else None
            usable = parts is None or (parts.scheme in schemes and bool(parts.hostname) and parts.port != 0)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"not a URL that begins with {schemes[0]}:// or {schemes[1]}:// and names a host")
        if url and info.field_name == "notify_smtp_url" and info.data.get("notify_mail_to") == ():
            raise ValueError(f"{PREFIX}NOTIFY_MAIL_TO names nobody")
        return url

    @field_validator("notify_mail_to", mode="before")
    @classmethod
    def _are_addresses(cls, value: object) -> object:
        found = tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
        if isinstance(found, tuple) and not all(_ADDRESS.fullmatch(str(each)) for each in found):
            raise ValueError("not mail addresses with commas in between")
        return found

    @field_validator("source_timezone", "timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("not a time zone of the IANA database, such as Europe/Zurich")
        return name

    @field_validator("ttl_hours_by_type", mode="before")
    @classmethod
    def _is_json(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('not a JSON object such as {"Observation": 96}') from None

    @field_validator("nightly_cron")
    @classmethod
    def _is_cron(cls, text: str) -> str:
        check_cron(text)
        return text

    @field_validator("hapi_db_url", "dagster_pg_url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            read_postgresql_url(url.get_secret_value())
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_redis_url(url.get_secret_value())
        return url

    @property
    def results(self) -> Path:
        """Folder of the files that query jobs write."""
        return self.home / "results"

    @property
    def oldest_frontier_s(self) -> float:
        """Seconds that the frontier of a live answer may be old where the question says nothing else."""
        return self.freshness_target_s or max(30.0, 3 * self.poll_interval_s)

    def ttl_s(self, resource_type: str) -> int:
        """Seconds after its last write until an overlay entry of this type expires."""
        return max(1, int(self.ttl_hours_by_type.get(resource_type, self.ttl_hours) * 3600))


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigurationError: an environment variable has an invalid value, or begins with `LAMBDA_PIPELINE_` and is no
            setting; names the variable, not the value.
    """
    known = {_variable(_own_name(name)) for name in Settings.model_fields} | LAUNCHER_VARIABLES
    problems = find_unknown(os.environ, known, PREFIX)
    settings = None
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [f"{_variable(*each['loc'])}: {_reason(each['msg'])}" for each in error.errors()]
    if settings is None or problems:
        raise ConfigurationError("; ".join(problems), hint="see docs/settings.md")
    return settings


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def _own_name(field: str) -> str:
    """The name of the variable of a server, which has no prefix; else that of the field."""
    return field.upper() if Settings.model_fields[field].validation_alias is not None else field


def _variable(name: int | str, *inside: int | str) -> str:
    """The environment variable of a field, and the place inside its value."""
    own = str(name) if str(name).isupper() else f"{PREFIX}{name}".upper()
    return ".".join([own, *map(str, inside)])
