"""What the text of an environment variable may be: its name, a cron expression, a server's URL.

Which variables there are, and their defaults, stands in `settings`. A check raises ValueError with a reason that does
not repeat the text, since it may hold a password.
"""

from lambda_pipeline.environment.cron import check_cron
from lambda_pipeline.environment.names import find_unknown
from lambda_pipeline.environment.urls import check_redis_url, read_postgresql_url

__all__ = ["check_cron", "check_redis_url", "find_unknown", "read_postgresql_url"]
