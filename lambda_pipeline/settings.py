"""All settings, with types and defaults; read from environment variables, never from a file.

Servers have common names: `HAPI_DB_URL`, `REDIS_URL`, `DAGSTER_PG_URL`. Every other setting is
`LAMBDA_PIPELINE_<NAME>`. Where no URL is set, an embedded server is used (`development/embedded/`).
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lambda_pipeline.errors import ConfigurationError

PACKAGE = Path(__file__).resolve().parent
PREFIX = "LAMBDA_PIPELINE_"
_CRON = re.compile(
    r"[0-9*][0-9A-Za-z*,/#-]*( +[0-9A-Za-z*,/#-]+){4}|@(hourly|daily|midnight|weekly|monthly|yearly|annually)"
)


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
    refresh_lock_timeout_s: float = Field(0.0, ge=0, description="How long a refresh waits for another one to end.")
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
        if not _CRON.fullmatch(text):
            raise ValueError("not a cron expression of five fields, such as 0 2 * * *")
        return text

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
        ConfigurationError: an environment variable has an invalid value; names the variable, not the value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{_variable(*item['loc'])}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(problems, hint="see docs/settings.md") from None


def _variable(name: int | str, *inside: int | str) -> str:
    """The environment variable of a field, and the place inside its value."""
    own = str(name) if str(name).isupper() else f"{PREFIX}{name}".upper()
    return ".".join([own, *map(str, inside)])
