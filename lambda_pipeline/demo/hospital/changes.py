"""`python -m lambda_pipeline.demo.hospital.changes`: keep the demo's source changing until SIGINT or SIGTERM.

A process of its own, for `lambda-pipeline dev --changing`. What changes is in `day.py`.
"""

import signal
import threading
import time

from lambda_pipeline.api import load_settings, server_urls
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.day import keep_changing

CHANGES_PER_SECOND = 2.0


def main() -> None:
    """Change the source of the environment's settings until a signal comes.

    Raises:
        ServerUnavailableError: the database cannot be reached any more.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    database = Database(server_urls(load_settings()).hapi_db)
    try:
        keep_changing(DemoHapi(database), time.time_ns(), stop, CHANGES_PER_SECOND)
    finally:
        database.close()


if __name__ == "__main__":
    main()
