"""`notify`: who is told, and a test of that."""

from pathlib import Path

import pytest

from lambda_pipeline.operations.notify import Notice, Notifier
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.support.listeners import webhook
from lambda_pipeline_tests.support.programs import Program


def test_a_test_says_what_every_channel_said(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(tmp_path))
    with webhook() as hook:
        monkeypatch.setenv("LAMBDA_PIPELINE_NOTIFY_WEBHOOK_URL", hook.url)
        sent = program("notify", "--test")
        assert (sent.code, sent.out) == (0, "webhook 127.0.0.1: sent: HTTP 200\n")
        assert hook.states == [("test", "test")]
        hook.status = 404
        failed = program("notify", "--test")
    assert (failed.code, failed.out) == (1, "webhook 127.0.0.1: not sent: HTTP 404\n")


def test_it_shows_what_fails_at_present(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(tmp_path))
    with webhook() as hook:
        monkeypatch.setenv("LAMBDA_PIPELINE_NOTIFY_WEBHOOK_URL", hook.url)
        assert program("notify").out == "told by   webhook 127.0.0.1\n"
        Notifier(load_settings()).tell(Notice("check parity", "fails for batch/patients"))
        assert "failing   check parity, since 20" in program("notify").out


def test_without_a_channel_it_says_how_to_set_one(program: Program) -> None:
    refused = program("notify", "--test")
    assert refused.code == 2
    assert "set LAMBDA_PIPELINE_NOTIFY_WEBHOOK_URL" in refused.complaint
