"""The preflight of Redis: reachable, writable by scripts, and configured so that it loses no entries."""

from collections.abc import Iterator
from typing import Any

import redis

from lambda_pipeline.errors import ConfigurationError
from lambda_pipeline.operations.preflight import Finding, Level
from lambda_pipeline.settings import Settings


def check_redis(url: str, settings: Settings) -> Iterator[Finding]:
    """Check Redis.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    try:
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
        )
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URL: {error}", hint="redis://host:6379/0 or unix:///path?db=0") from None
    try:
        with client:
            info: dict[str, Any] = dict(client.info())
            yield from _check_server(info)
            yield from _check_memory(info)
            yield from _check_persistence(info)
            yield from _check_rights(client, f"{settings.redis_prefix}:preflight")
    except (redis.ConnectionError, redis.TimeoutError) as error:
        yield Finding(Level.UNREACHABLE, "Redis", f"cannot be reached: {_first_line(error)}", "check REDIS_URL")
    except redis.RedisError as error:
        yield Finding(
            Level.FAIL, "Redis", _first_line(error), "check the password in REDIS_URL and the rights of its user"
        )


def _check_server(info: dict[str, Any]) -> Iterator[Finding]:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "of unknown version")
    yield Finding(Level.OK, "Redis", f"{name} {version}")
    if info.get("role") not in {None, "master"}:
        yield Finding(Level.FAIL, "Redis role", "the server is a replica", "point REDIS_URL at the primary")
    if info.get("cluster_enabled"):
        hint = "use a server outside a cluster: scripts change several keys of the overlay at once"
        yield Finding(Level.FAIL, "Redis cluster", "the server is part of a cluster", hint)


def _check_memory(info: dict[str, Any]) -> Iterator[Finding]:
    policy, limit, used = info.get("maxmemory_policy", "unknown"), info.get("maxmemory", 0), info.get("used_memory", 0)
    bounded = f"{used:,} of {limit:,} bytes used" if limit else f"{used:,} bytes used, no limit"
    if policy == "noeviction":
        yield Finding(Level.OK, "Redis memory", f"{bounded}, policy noeviction")
    else:
        level = Level.FAIL if limit else Level.WARN
        text = f"{bounded}, policy {policy}: entries may be lost, and answers then read HAPI's tables"
        yield Finding(level, "Redis memory", text, "set maxmemory-policy noeviction")


def _check_persistence(info: dict[str, Any]) -> Iterator[Finding]:
    if info.get("loading"):
        yield Finding(Level.WARN, "Redis persistence", "the server is loading its data", "wait")
    elif info.get("aof_enabled"):
        yield Finding(Level.OK, "Redis persistence", "append-only file")
    else:
        text = "no append-only file: a restart loses changes, and the next poll reads them again from HAPI"
        yield Finding(Level.WARN, "Redis persistence", text, "set appendonly yes")


def _check_rights(client: "redis.Redis", key: str) -> Iterator[Finding]:
    script = "redis.call('SET', KEYS[1], '1', 'EX', 60); return redis.call('DEL', KEYS[1])"
    try:
        client.eval(script, 1, key)
    except redis.ResponseError as error:
        yield Finding(Level.FAIL, "Redis scripts", _first_line(error), "the overlay needs Lua scripts")
    else:
        yield Finding(Level.OK, "Redis scripts", "can be run and can write")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
