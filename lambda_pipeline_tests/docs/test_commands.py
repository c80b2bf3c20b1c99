"""Every command and every Python example of README and docs can be pasted.

The blocks are run as they are, one after another as a reader would, in a folder that looks like the checkout, against
embedded servers with the data that `lambda-pipeline dev` makes. Two kinds of lines are not run: those of `make`, which
are only looked up (`make --dry-run`), and those listed in `NOT_RUN` with a reason.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml

from lambda_pipeline.cohorts.code_sets import CodeSetFile
from lambda_pipeline.cohorts.document import parse_cohort, parse_text
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.development import embedded
from lambda_pipeline.orchestration.build import build_definitions
from lambda_pipeline.settings import Settings
from lambda_pipeline.views.view_tests import ViewTests
from lambda_pipeline_tests.support.servers import FAST, PROJECT

PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]

NOT_RUN = {
    "export HAPI_DB_URL=postgresql://lambda_pipeline@db.example.org/hapi": "names the reader's own servers",
    "export REDIS_URL=redis://redis.example.org:6379/0": "names the reader's own servers",
    "export DAGSTER_PG_URL=postgresql+psycopg2://dagster@db.example.org/dagster": "names the reader's own servers",
    "pipx install pre-commit": "installs a program for the user",
    "pre-commit install": "needs that program, and changes the checkout's git hooks",
}
"""Lines without comments, and why they are not run. `make` targets are looked up instead."""

PROGRAMS = ("lambda-pipeline ", "make ", "source ", "export ", "dagster ", "python ", "psql ", "git ", "DAGSTER_HOME=")
"""How an indented block begins that holds commands and not output."""

CHECKOUT = (
    ".venv", "Makefile", "benchmarks", "lambda_pipeline", "lambda_pipeline_tests", "pyproject.toml",
    "requirements.lock", "sql",
)  # fmt: skip
"""What a reader has in the folder in which commands are pasted."""


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page, with the number of its first line."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks with their language, and indented blocks: `bash` when they begin with a command, else `text`."""
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        first = number
        if fence := re.fullmatch(r"( *)```(\w*)(?: .*)?", lines[number]):
            number += 1
            while lines[number].strip() != "```":
                number += 1
            text = "\n".join(line.removeprefix(fence[1]) for line in lines[first + 1 : number])
            yield Block(page, first + 2, fence[2], text)
        elif lines[number].startswith("    ") and number and not lines[number - 1].strip():
            while number < len(lines) and lines[number].startswith("    "):
                number += 1
            text = "\n".join(line.removeprefix("    ") for line in lines[first:number])
            yield Block(page, first + 1, "bash" if text.startswith(PROGRAMS) else "text", text)
        number += 1


def script(block: Block) -> list[str]:
    """The lines to run; a line that ends in a backslash goes on in the next one."""
    kept = []
    for line in block.text.replace("\\\n", " ").splitlines():
        command = re.sub(r"\s+#.*", "", line).strip()
        if not command or command.startswith("#") or command in NOT_RUN:
            continue
        if command.startswith("make "):
            command = command.replace("make ", "make --dry-run --silent ", 1) + " >/dev/null"
        kept.append(command)
    return kept


BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language == "bash"]
PYTHON = [block for block in BLOCKS if block.language == "python"]


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who pastes into a terminal."""

    folder: Path
    environment: dict[str, str]

    def paste(self, *arguments: str) -> None:
        done = subprocess.run(
            arguments, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """A checkout's look-alike, a Python environment on the PATH, and servers of its own with published views."""
    folder = Path(tempfile.mkdtemp(prefix="lambda_pipeline_docs_"))
    folder.chmod(0o755)
    for name in CHECKOUT:
        (folder / name).symlink_to(PROJECT / name)
    home = folder / "home"
    unset = {"HAPI_DB_URL", "BATCH_DB_URL", "REDIS_URL", "DAGSTER_PG_URL", "DAGSTER_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    program = Path(sys.executable).parent
    reader = Reader(
        folder,
        {
            **{name: value for name, value in kept.items() if not name.startswith("LAMBDA_PIPELINE_")},
            "LAMBDA_PIPELINE_HOME": str(home),
            "PATH": f"{program}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT),
        },
    )
    try:
        database = Database(embedded.start(home, settings=FAST).postgres_url)
        populate(DemoHapi(database, referential_integrity=False), patients=80)
        database.close()
        write_the_files_that_examples_name(folder)
        reader.paste("lambda-pipeline", "refresh")
        yield reader
    finally:
        embedded.clean(home)
        shutil.rmtree(folder, ignore_errors=True)


def write_the_files_that_examples_name(folder: Path) -> None:
    """Files of the reader's own: the view and the config are those that the pages show."""
    (view,) = [block.text for block in BLOCKS if block.language == "json" and '"ViewDefinition"' in block.text]
    (folder / "allergies.json").write_text(view)
    allergy = {"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/p"}}
    (folder / "AllergyIntolerance.ndjson").write_text(json.dumps(allergy) + "\n")
    shutil.copy(PROJECT / "sql" / "view_definitions" / "patient_simple.json", folder / "my_view.json")
    patient = {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1950-01-31"}
    (folder / "Patient.ndjson").write_text(json.dumps(patient) + "\n")
    (config,) = [block.text for block in BLOCKS if block.text.startswith("# question.yaml")]
    (folder / "question.yaml").write_text(config)


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_can_be_pasted(block: Block, reader: Reader) -> None:
    if lines := script(block):
        reader.paste("bash", "-euo", "pipefail", "-c", "\n".join(lines))


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_examples_run(block: Block, reader: Reader) -> None:
    reader.paste(sys.executable, "-c", block.text)


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "yaml"], ids=str)
def test_configs_of_jobs_and_definitions_are_valid(block: Block) -> None:
    content = parse_text(block.text, name=str(block))
    if "rules" in content:
        assert parse_cohort(content)
    elif "codes" in content:
        assert CodeSetFile.model_validate(content)
    elif "unique" in content:
        assert ViewTests.model_validate(content).cases()
    else:
        name = "cohort_query" if block.text.startswith("# cohort_query") else "view_query"
        job = build_definitions(Settings()).resolve_job_def(name)
        assert dg.validate_run_config(job, yaml.safe_load(block.text))


def test_pages_have_commands_and_examples() -> None:
    assert len(COMMANDS) >= 10
    assert len(PYTHON) >= 2
    assert {block.page.name for block in COMMANDS} >= {"README.md", "CONTRIBUTING.md", "views.md", "questions.md"}


def test_what_is_not_run_is_still_in_the_pages() -> None:
    shown = {re.sub(r"\s+#.*", "", line).strip() for block in COMMANDS for line in block.text.splitlines()}
    assert shown >= set(NOT_RUN)
