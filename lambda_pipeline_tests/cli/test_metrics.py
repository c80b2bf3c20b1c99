"""`metrics`: a process that answers until it is stopped."""

import os
import re
import signal
import subprocess
import sys
import urllib.request

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.programs import Program


def test_it_answers_on_this_machine_until_it_is_stopped(published: DemoHapi) -> None:
    command = [sys.executable, "-m", "lambda_pipeline.cli", "metrics", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ}, text=True) as process:
        assert process.stderr is not None
        found = re.match(r"(http://127\.0\.0\.1:\d+)/metrics and ", process.stderr.readline())
        assert found
        with urllib.request.urlopen(f"{found[1]}/healthz", timeout=20) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{found[1]}/metrics", timeout=20) as answer:
            assert b"lambda_pipeline_answerable 1.0" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_an_address_that_cannot_be_used_is_a_setting_to_change(published: DemoHapi, program: Program) -> None:
    refused = program("metrics", "--host", "192.0.2.1")
    assert refused.code == 2
    assert "192.0.2.1:9464 cannot be used" in refused.complaint
