"""Build and run the real HAPI server of this folder over a database of the embedded PostgreSQL."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lambda_pipeline_tests.hapi_server.forwarding import forwarded

PROJECT = Path(__file__).resolve().parent
BUILD_S = 240
BOOT_S = 240
STOP_S = 30

# Quicker to the first answer, and small: the server lives for a minute or two.
JVM = ("-Xmx768m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.timezone={zone}")


class CannotBuildError(Exception):
    """Java or Maven is missing, or HAPI's artefacts cannot be fetched; the message says which."""


@dataclass(frozen=True, slots=True)
class Built:
    """A compiled server: its folder, and the class path that it runs with."""

    folder: Path
    class_path: str


def build(folder: Path) -> Built:
    """Compile the server into a folder.

    Raises:
        CannotBuildError: it cannot be compiled here.
    """
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        raise CannotBuildError(f"{' and '.join(missing)} is not installed")
    shutil.copytree(PROJECT / "src", folder / "src")
    shutil.copy(PROJECT / "pom.xml", folder)
    command = ["mvn", "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath.txt"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False)
    except subprocess.TimeoutExpired:
        raise CannotBuildError(f"Maven was not done after {BUILD_S} s") from None
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise CannotBuildError(f"Maven failed: {(errors or ['without an error'])[0]}")
    return Built(folder, f"{folder / 'target' / 'classes'}:{(folder / 'classpath.txt').read_text()}")


@contextmanager
def running(
    built: Built, database_url: str, *, zone: str = "UTC", properties: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run the server over an empty database for the `with` block; gives its base URL, such as `http://.../fhir`.

    Args:
        built: see `build`.
        database_url: of a database on the embedded PostgreSQL, which listens on a Unix socket.
        zone: time zone of the JVM.
        properties: `history`, `tags`, `tenants`: see `Main.java`.
    """
    parts = urlsplit(database_url)
    socket = Path(parse_qs(parts.query)["host"][0]) / f".s.PGSQL.{parts.port or 5432}"
    with tempfile.TemporaryDirectory() as temporary, forwarded(socket) as port:
        folder = Path(temporary)
        log = folder / "hapi.log"
        options = {
            "db.url": f"jdbc:postgresql://127.0.0.1:{port}{parts.path}?sslmode=disable",
            "db.user": parts.username or "postgres",
            "db.password": parts.password or "",
            "port.file": str(folder / "port"),
            "java.io.tmpdir": str(folder),
            **(properties or {}),
        }
        command = [
            "java",
            *(option.format(zone=zone) for option in JVM),
            *(f"-D{name}={value}" for name, value in options.items()),
            *("-cp", built.class_path, "Main"),
        ]
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{_wait_for_port(process, folder / 'port', log)}/fhir"
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], file: Path, log: Path) -> int:
    deadline = time.monotonic() + BOOT_S
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise RuntimeError(f"HAPI did not start:\n{last}")
        time.sleep(0.2)
    return int(file.read_text())
