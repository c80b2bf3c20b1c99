"""How every job that asks a question is made: its config is checked before there is a run, and its op asks once.

Which questions there are stands in `jobs.py`, `counts_job.py` and `cohort_job.py`.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
from pydantic import ValidationError

from lambda_pipeline.errors import BadRequestError, LambdaPipelineError
from lambda_pipeline.orchestration import metadata
from lambda_pipeline.orchestration.assets import failure
from lambda_pipeline.orchestration.launch_config import FileOptions, environment_references
from lambda_pipeline.orchestration.resources import ServingResource
from lambda_pipeline.serving import Answer, Serving
from lambda_pipeline.serving.export import write
from lambda_pipeline.settings import load_settings


def question_job(
    name: str,
    model: Any,
    *,
    does: str,
    description: str,
    check: Callable[[Any], object],
    run: Callable[[dg.OpExecutionContext, Any, Serving], None],
) -> dg.JobDefinition:
    """A job of one op, `run_<name>`.

    Args:
        name: of the job.
        model: class of its config.
        does: what the op does, for its page.
        description: of the job, for its page.
        check: raises a BadRequestError for a config that no run shall have.
        run: asks, and leaves what may be known of the answer with the run.
    """

    @dg.op(name=f"run_{name}", description=does)
    def run_question(context: dg.OpExecutionContext, config: model, serving: ServingResource) -> None:
        refuse_environment(context)
        try:
            run(context, config, serving.serving)
        except LambdaPipelineError as error:
            raise failure(error) from None

    @dg.config_mapping
    def checked_config(config: model) -> dg.RunConfig:
        check(config)
        return dg.RunConfig(ops={f"run_{name}": config})

    @dg.job(
        name=name,
        config=saying_why(checked_config),
        executor_def=dg.in_process_executor,
        tags={"kind": "query"},
        description=description,
    )
    def question() -> None:
        run_question()

    return question


def leaving_a_file(
    ask: Callable[[Serving, Any], Answer],
) -> Callable[[dg.OpExecutionContext, Any, Serving], None]:
    """The `run` of a job whose answer is a file: the run holds its path and counts."""

    def run(context: dg.OpExecutionContext, config: FileOptions, serving: Serving) -> None:
        answer = ask(serving, config)
        name = config.name or f"{context.job_name}-{context.run.run_id}"
        file = write(answer, load_settings().results, name=name, format=config.format.value, run_id=context.run.run_id)
        context.add_output_metadata(metadata.describe_answer(answer, file, config.preview))
        context.log.info(
            "%s rows, valid as of %s, are in %s", f"{len(answer.rows):,}", answer.valid_as_of.isoformat(), file
        )

    return run


def saying_why(mapping: dg.ConfigMapping) -> dg.ConfigMapping:
    """The same mapping, which refuses config by Dagster's own error: Dagster hides the message of any other one."""

    def map_config(config: Any) -> Any:
        try:
            return mapping.config_fn(config)
        except ValidationError as error:
            reason = "; ".join(f"{_place(item['loc'])}: {_reason(item['msg'])}" for item in error.errors())
        except BadRequestError as error:
            reason = str(error)
        raise dg.DagsterInvalidConfigError(reason, [], None)  # type: ignore[no-untyped-call]

    return mapping._replace(config_fn=map_config)


def _place(path: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")


def refuse_environment(context: dg.OpExecutionContext) -> None:
    """End a run whose config reads environment variables."""
    if hits := environment_references(context.run.run_config):
        raise dg.Failure(f"run config may not read environment variables: {', '.join(hits)}", allow_retries=False)
