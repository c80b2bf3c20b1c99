"""Embedded servers of tests: where they are, and one that a test may break."""

import shutil
from pathlib import Path

import sqlalchemy as sa

from lambda_pipeline.development import embedded

PROJECT = Path(__file__).resolve().parents[2]
SERVER_VARIABLES = {"HAPI_DB_URL", "BATCH_DB_URL", "REDIS_URL", "DAGSTER_PG_URL", "DAGSTER_HOME"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class OwnRedis:
    """A Valkey of one test, to be hurt."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = embedded.start(home, postgres=False).redis_url

    def stop(self) -> None:
        """End it cleanly; its files stay."""
        embedded.stop(self.home)

    def start(self) -> None:
        """Start it again on its files, under the same URL."""
        embedded.start(self.home, postgres=False)

    def restart(self, *, persist: bool) -> None:
        """Stop and start it: with all it had, or empty."""
        self.stop()
        if not persist:
            shutil.rmtree(self.home / "valkey")
        self.start()


def beside(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)
