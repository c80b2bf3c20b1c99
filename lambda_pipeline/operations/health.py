"""Whether a live answer could be given right now: for load balancers, probes and alerts.

What is wrong around it, and what an operator should know, is in `status.py`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import psycopg

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.database import reason
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import LambdaPipelineError, NoGenerationError, RedisUnavailableError
from lambda_pipeline.serving.read import open_live
from lambda_pipeline.speed.coverage import find_gap


@dataclass(frozen=True, slots=True)
class Health:
    """What a question over all views would meet at this moment.

    Attributes:
        code: of the error that would refuse it; empty where it would be answered.
        reason: of the error.
        frontier: of the answer; None where there is none.
        sources: what it would be made from.
    """

    code: str = ""
    reason: str = ""
    frontier: datetime | None = None
    sources: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether an answer could be given, within the freshness target."""
        return not self.code


def check_health(deployment: Deployment) -> Health:
    """Open a live read over all views, as a question would, with the freshness target of the settings.

    Where the overlay has no gap, its rows are not fetched. Where it has one, the window is read from HAPI's tables:
    nothing less shows that it can be.
    """
    try:
        with deployment.database.connect() as connection:
            generation = published(connection)
        if generation is None:
            raise NoGenerationError("no generation has been published yet")
        if _is_covered(deployment, generation):
            frontier, sources = _open(deployment, ())
            if "overlay" in sources:
                return Health(frontier=frontier, sources=sources)
        frontier, sources = _open(deployment, generation.views)
    except LambdaPipelineError as error:
        return Health(error.code, error.message)
    except psycopg.Error as error:
        return Health("query-failed", reason(error))
    return Health(frontier=frontier, sources=sources)


def _is_covered(deployment: Deployment, generation: Generation) -> bool:
    """Whether the overlay holds everything since the generation, rows of every published definition included."""
    if not deployment.settings.speed_layer:
        return False
    try:
        overlay = deployment.overlay.read_status()
    except RedisUnavailableError:
        return False
    definitions = [known.view for known in generation.views.values()]
    return (
        overlay.state is not None and find_gap(overlay.state, overlay.lost, generation, definitions=definitions) is None
    )


def _open(deployment: Deployment, names: Collection[str]) -> tuple[datetime, tuple[str, ...]]:
    settings = deployment.settings
    overlay = deployment.overlay if settings.speed_layer else None
    with open_live(
        deployment.database, overlay, settings, names, freshness_target_s=settings.oldest_frontier_s
    ) as live:
        return live.frontier.taken_at, live.sources
