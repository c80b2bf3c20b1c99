"""The official examples of FHIR R4: each is loaded, or refused for what HAPI refuses too.

They are not shipped. Where npm is there and can fetch their package, they are fetched into a temporary folder.
"""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.demo.hapi.server import DemoHapi

PACKAGE = "hl7.fhir.r4.examples@4.0.1"
AS_HAPI = ("id of digits only", "id is not a valid FHIR id", "HAPI stores no bundle of type")
"""What HAPI refuses of them: ids that it gives out itself, an id with a wrong character, bundles that are requests."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples as NDJSON; each line is the text of one file, so that no number is written anew."""
    folder = tmp_path_factory.mktemp("r4")
    if shutil.which("npm") is None:
        pytest.skip("npm is not there: it fetches the official examples")
    try:
        packed = subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm does not fetch {PACKAGE}")
    if packed.returncode != 0:
        pytest.skip(f"npm does not fetch {PACKAGE}: {packed.stderr.strip().splitlines()[-1:]}")
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as content, (folder / "all.ndjson").open("w", encoding="utf-8") as lines:
        for member in sorted(content.getmembers(), key=lambda member: member.name):
            name = Path(member.name).name
            if not name.endswith(".json") or name == "package.json" or name.startswith("."):
                continue
            data = content.extractfile(member)
            assert data is not None
            text = data.read().decode("utf-8-sig")
            if "resourceType" in json.loads(text):
                lines.write(" ".join(text.splitlines()) + "\n")
    return folder / "all.ndjson"


def test_every_example_is_loaded_or_refused_as_by_hapi(examples: Path, database_url: str) -> None:
    count = len(examples.read_text().splitlines())
    assert count > 5_000
    database = Database(database_url)
    demo = DemoHapi(database, referential_integrity=False)
    demo.install()
    loaded = load_files(demo, [examples])[examples]
    database.close()
    assert loaded.resources + len(loaded.bad) == count
    other = [bad for bad in loaded.bad if not any(reason in bad for reason in AS_HAPI)]
    assert not other
    assert len(loaded.bad) < 60
