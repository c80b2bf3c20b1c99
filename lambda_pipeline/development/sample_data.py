"""What the embedded source contains: the synthetic population, its first generation, and what to do while it is empty.

The population and its records do not belong here: see `demo/hospital/`.
"""

import logging

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.development.dagster_process import Say
from lambda_pipeline.errors import AnswerRefusedError, SourceError
from lambda_pipeline.operations.parity import SERVED_MODES, check_parity
from lambda_pipeline.operations.parity_record import record_parity
from lambda_pipeline.operations.preflight import Finding, Level

logger = logging.getLogger(__name__)

EMPTY_SOURCE = Finding(
    Level.WARN,
    "HAPI's tables",
    "the embedded source has no data yet",
    "run lambda-pipeline dev, or load files with lambda-pipeline load FILE...",
)
"""The preflight's finding where the embedded source has no tables."""


def prepare_source(deployment: Deployment, patients: int, say: Say) -> None:
    """Write the population into an empty embedded source, and build views that are not published as defined.

    Args:
        deployment: over the embedded source.
        patients: size of the population.
        say: receives progress, line by line.
    """
    demo = DemoHapi(deployment.database)
    demo.install()
    with deployment.database.connect() as connection:
        empty = connection.execute("SELECT FROM hfj_resource LIMIT 1").fetchone() is None
    if empty:
        say(f"the source is empty: writing {patients} synthetic patients")
        stored = populate(demo, patients=patients)
        say(f"{stored:,} resources written")
    generation = deployment.serving.generation()
    published = {name: known.view.digest for name, known in generation.views.items()} if generation else {}
    if any(published.get(view.name) != view.digest for view in deployment.views):
        say("building the views")
        generation = deployment.refresh()
        say(f"generation {generation.number}: {', '.join(sorted(generation.views))}")
        _compare(deployment)


def _compare(deployment: Deployment) -> None:
    """Compare a sample as after each refresh, so that the UI shows a result from the start."""
    for mode in SERVED_MODES if deployment.settings.parity_sample else ():
        try:
            parity = check_parity(deployment.serving, mode, sample=deployment.settings.parity_sample)
        except AnswerRefusedError as error:
            logger.warning("parity of %s was not checked: %s", mode, error)
            continue
        record_parity(deployment.serving, parity)
        logger.info("%s", parity)


def empty_source_error(deployment: Deployment) -> SourceError | None:
    """The error that explains an embedded source without tables; None where the source is another or has tables."""
    if not deployment.urls.embedded_postgres or DemoHapi(deployment.database).installed():
        return None
    return SourceError(
        "HAPI_DB_URL is not set, and the embedded source has no data",
        hint="set HAPI_DB_URL, load files with lambda-pipeline load FILE..., or run lambda-pipeline dev",
    )
