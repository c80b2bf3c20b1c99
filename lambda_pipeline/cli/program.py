"""The program: its commands, its exit codes, and how errors reach the terminal.

A command's module is imported only when the command is called, so that a question does not wait for imports of others.
"""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import click

from lambda_pipeline.errors import LambdaPipelineError

NAME = "lambda-pipeline"
BAD_INPUT = 3
INTERRUPTED = 130
READER_GONE = 141

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo", "Show the whole pipeline in a minute: one question, asked before, during and after a day."),
    "dev": ("servers", "Run everything with Dagster's UI, on embedded servers where no URL is set."),
    "stop": ("servers", "Stop Dagster and the embedded servers, also those of other terminals; data stays."),
    "clean": ("servers", "Stop everything and remove what is kept under LAMBDA_PIPELINE_HOME: data, logs, results."),
    "check": (
        "check",
        "Check servers, versions, rights, HAPI's tables and view definitions before use.",
    ),
    "settings": ("settings", "Show every setting, its value and where that comes from."),
    "status": ("status", "Show what is published, how fresh answers are, and what is wrong."),
    "report": ("report", "Write one page: freshness, overlay, refreshes, parity, quarantine, biggest views."),
    "refresh": ("refresh", "Build or refresh all views and publish them as one generation."),
    "poll": ("poll", "Capture what changed in HAPI since the last poll, once."),
    "parity": ("parity", "Compare what is served with a recompute from HAPI's tables, resource by resource."),
    "metrics": ("metrics", "Serve GET /metrics for Prometheus and GET /healthz for probes, until it is stopped."),
    "notify": ("notify", "Show who is told of failures and what fails at present, or send a test."),
    "query": ("questions", "Ask for rows of VIEW."),
    "changes": ("changes", "Show rows of VIEW that were added or removed since the published generation."),
    "count": ("count", "Count rows of VIEW by the values of columns."),
    "sql": ("questions", "Ask a saved query by its NAME, or the one SELECT in FILE, over the views by their names."),
    "queries": ("queries", "List and check saved queries, and make FHIR Library resources of them."),
    "resource": ("resource", "Print the resource of REFERENCE, such as Patient/123, as it is now."),
    "ask": ("cohorts", "Count the persons that the cohort definition in FILE finds."),
    "cohorts": ("cohorts", "Check cohort definitions, and show what they may contain."),
    "views": ("views", "Check, show, run, test, list and drop view definitions."),
    "load": (
        "load",
        "Put FHIR FILES into the embedded source: NDJSON, bundles, single resources; also gzipped.",
    ),
}
"""Command -> its module in this package, and its help in one line."""

HELP = """How many patients match, right now, and can I trust the number?

Results go to standard output; progress and messages go to standard error.

\b
Environment variables name the servers; where one is not set, an embedded server is started:
  HAPI_DB_URL   postgresql://user:password@host:5432/hapi   HAPI's database
  REDIS_URL     redis://host:6379/0                         the speed layer
Every other setting is LAMBDA_PIPELINE_<NAME>, such as LAMBDA_PIPELINE_HOME.

\b
Exit codes:
  0  done
  1  unhealthy, served rows differ from their recompute, a view was not refreshed as defined, or the command failed
  2  a setting is wrong, or a server cannot be reached
  3  bad input: an unknown view, column or option, SQL that is not a single SELECT, a file that cannot be read
  4  the answer is refused: it cannot be shown to be correct
  5  a refresh failed; the last generation is still published
130 and 141 have their usual meaning: interrupted, and the reader of the output is gone.
"""

logger = logging.getLogger("lambda_pipeline")


class Program(click.Group):
    """The root command; it lists its commands by name, without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lambda_pipeline.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Program, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors on standard error.")
@click.option("-v", "--verbose", is_flag=True, help="More messages, and a traceback of unexpected errors.")
@click.version_option(version("lambda-pipeline"), prog_name=NAME)
def program(*, quiet: bool, verbose: bool) -> None:
    """See `HELP`."""
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and end the process with its exit code.

    Args:
        arguments: those of the command line by default.
    """
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; every error is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler = _log_to_stderr()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The rest of the buffer has no reader either, and the interpreter would write it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READER_GONE
    finally:
        logger.removeHandler(handler)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        _refuse_unusable(words)
        # Not program.main(): it would report a closed output as a failure.
        with program.make_context(NAME, words) as context:
            program.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{NAME}: interrupted", err=True)
        return INTERRUPTED
    except LambdaPipelineError as error:
        click.echo(f"{NAME}: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 (the last resort: a traceback may quote patients' data)
        return _end_unforeseen(error)
    return 0


def _refuse_unusable(words: Sequence[str]) -> None:
    """Refuse words that no process can be given: every one may be the name of a file."""
    for number, word in enumerate(words, start=1):
        try:
            usable = b"\0" not in os.fsencode(word)
        except UnicodeEncodeError:
            usable = False
        if not usable:
            raise click.UsageError(f"word {number} holds a character that no word can hold")


def _end_unforeseen(error: Exception) -> int:
    """Report an error that no layer gave its own meaning: one of PostgreSQL by its meaning, others as bugs."""
    # Imported here: a command that needs no server starts without the driver.
    import psycopg  # noqa: PLC0415

    from lambda_pipeline.serving.statement import query_failed  # noqa: PLC0415

    if isinstance(error, psycopg.Error):
        failed = query_failed(error)
        click.echo(f"{NAME}: {failed}", err=True)
        return failed.exit_code
    if logger.isEnabledFor(logging.DEBUG):
        traceback.print_exc()
    click.echo(
        f"{NAME}: unexpected {type(error).__name__}; this is a bug (run again with --verbose for the traceback)",
        err=True,
    )
    return 1


def _log_to_stderr() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"
