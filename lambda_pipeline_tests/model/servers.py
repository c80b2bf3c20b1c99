"""The servers of the model: its own, since it restarts one of them and fills its memory."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis
import sqlalchemy as sa
from psycopg import sql

from lambda_pipeline.development import embedded

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Servers:
    """PostgreSQL and Valkey of one home; attaches to them when they run already.

    Args:
        home: their folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        started = embedded.start(home, settings=FAST)
        self.postgres_url = started.postgres_url
        self.redis_url = started.redis_url

    @contextmanager
    def database(self) -> Iterator[str]:
        """URL of a fresh database; nothing in it waits long for a lock, since nobody would give it."""
        name = sql.Identifier(f"model_{uuid.uuid4().hex}")
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
            connection.execute(sql.SQL("ALTER DATABASE {} SET lock_timeout = '300ms'").format(name))
        try:
            yield sa.make_url(self.postgres_url).set(database=name._obj[0]).render_as_string(hide_password=False)
        finally:
            with psycopg.connect(self.postgres_url, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def restart_redis(self, *, persist: bool) -> None:
        """End Valkey and start it again: with all it had, or empty."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.shutdown(nosave=True)
        if not persist:
            shutil.rmtree(self.home / "valkey" / "appendonlydir", ignore_errors=True)
        embedded.start(self.home, postgres=False)


@contextmanager
def temporary_servers() -> Iterator[Servers]:
    """Servers in a temporary folder, gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="lambda_pipeline_model_"))
    home.chmod(0o755)
    try:
        yield Servers(home)
    finally:
        embedded.clean(home)
        shutil.rmtree(home, ignore_errors=True)
