"""Notices over a real webhook and a real mail server: what they say, how often, and that they never stop anything."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_pipeline.errors import ConfigurationError, HapiUnavailableError
from lambda_pipeline.operations.notify import Notice, Notifier
from lambda_pipeline.settings import Settings, load_settings
from lambda_pipeline_tests.support.listeners import MailServer, Webhook, mail_server, webhook

JOB = "job nightly_refresh"
FAILURE = Notice(JOB, "PostgreSQL cannot be reached", "hapi-unavailable", "start it")


class Clock:
    """Seconds since 1970 that a test moves on."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as listener:
        yield listener


@pytest.fixture
def post() -> Iterator[MailServer]:
    with mail_server() as listener:
        yield listener


def notifier(folder: Path, clock: Clock | None = None, **settings: object) -> Notifier:
    return Notifier(Settings(home=folder, **settings), clock or Clock())  # type: ignore[arg-type]


def test_a_notice_reaches_the_webhook_as_json_with_a_text_for_chats(hook: Webhook, tmp_path: Path) -> None:
    assert notifier(tmp_path, notify_webhook_url=hook.url).tell(FAILURE)
    (body,) = hook.received
    assert (body["subject"], body["state"], body["code"]) == (JOB, "failing", "hapi-unavailable")
    assert "[hapi-unavailable] PostgreSQL cannot be reached\nwhat to do: start it" in body["text"]
    assert body["at"].endswith("+00:00")


def test_a_notice_reaches_everybody_by_mail(post: MailServer, tmp_path: Path) -> None:
    url = f"smtp://us%40er:pass@127.0.0.1:{post.port}"
    assert notifier(tmp_path, notify_smtp_url=url, notify_mail_to="a@x.org, b@x.org").tell(FAILURE)
    (mail,) = post.received
    assert (mail["To"], mail["Auto-Submitted"]) == ("a@x.org, b@x.org", "auto-generated")
    assert mail["Subject"].endswith("job nightly_refresh: failing")
    assert "what to do: start it" in mail.get_content()
    assert len(post.logins) == 1


def test_one_notice_in_the_interval_and_one_when_it_is_over(hook: Webhook, tmp_path: Path) -> None:
    clock = Clock()
    told = notifier(tmp_path, clock, notify_webhook_url=hook.url)
    assert [told.tell(FAILURE) for _ in range(5)] == [True, False, False, False, False]
    clock.now += 901
    assert told.tell(FAILURE)
    assert [body["held_back"] for body in hook.received] == [0, 4]
    clock.now += 60
    assert [told.tell_over(JOB) for _ in range(3)] == [True, False, False]
    assert hook.states[2:] == [(JOB, "over")]
    assert "it is over after 16 min" in hook.received[-1]["text"]


def test_subjects_are_limited_apart_and_by_all_processes_together(hook: Webhook, tmp_path: Path) -> None:
    first, second = (notifier(tmp_path, notify_webhook_url=hook.url) for _ in range(2))
    assert first.tell(FAILURE)
    assert not second.tell(FAILURE)
    assert second.tell(Notice("check parity", "fails"))


def test_flapping_is_told_of_once_in_the_interval(hook: Webhook, tmp_path: Path) -> None:
    clock = Clock()
    told = notifier(tmp_path, clock, notify_webhook_url=hook.url)
    for _ in range(10):
        told.tell(FAILURE)
        told.tell_over(JOB)
        clock.now += 5
    assert hook.states == [(JOB, "failing"), (JOB, "over")]


def test_what_nobody_was_told_of_is_not_said_to_be_over(hook: Webhook, tmp_path: Path) -> None:
    told = notifier(tmp_path, notify_webhook_url=hook.url)
    assert not told.tell_over(JOB)
    hook.status = 500
    assert not told.tell(FAILURE)
    hook.status = 200
    assert not told.tell_over(JOB)
    assert not hook.received


def test_a_notice_that_nobody_took_is_sent_a_minute_later(
    hook: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    told = notifier(tmp_path, clock, notify_webhook_url=hook.url)
    hook.status = 503
    assert not told.tell(FAILURE)
    hook.status = 200
    assert not told.tell(FAILURE)
    clock.now += 61
    assert told.tell(FAILURE)
    assert "was not sent: webhook 127.0.0.1: HTTP 503" in caplog.text
    assert "swordfish" not in caplog.text


def test_a_redirect_is_not_followed(hook: Webhook, tmp_path: Path) -> None:
    hook.status = 302
    (delivery,) = notifier(tmp_path, notify_webhook_url=hook.url).send_test()
    assert (delivery.sent, delivery.text) == (False, "HTTP 302")


def test_a_refused_recipient_is_a_failure(post: MailServer, tmp_path: Path) -> None:
    post.refused = {"b@x.org"}
    settings = {"notify_smtp_url": f"smtp://127.0.0.1:{post.port}", "notify_mail_to": "a@x.org,b@x.org"}
    (delivery,) = notifier(tmp_path, **settings).send_test()
    assert (delivery.sent, delivery.text) == (False, "1 of 2 recipients were refused")


def test_servers_that_are_away_stop_nothing(tmp_path: Path) -> None:
    settings = {
        "notify_webhook_url": "http://127.0.0.1:1/swordfish",
        "notify_smtp_url": "smtp://user:swordfish@127.0.0.1:1",
        "notify_mail_to": "a@x.org",
    }
    told = notifier(tmp_path, **settings)
    assert not told.tell(FAILURE)
    assert all("refused" in each.text and "swordfish" not in f"{each}" for each in told.send_test())


def test_a_folder_that_cannot_be_written_neither_stops_nor_silences(hook: Webhook, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = notifier(tmp_path / "file" / "home", notify_webhook_url=hook.url)
    assert [told.tell(FAILURE) for _ in range(3)] == [True, False, False]
    assert told.tell_over(JOB)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"job nightly_refresh": {"what": 1}}'])
def test_a_broken_file_of_what_was_told_counts_as_empty(hook: Webhook, tmp_path: Path, content: str) -> None:
    (tmp_path / "notifications.json").write_text(content)
    assert notifier(tmp_path, notify_webhook_url=hook.url).tell(FAILURE)


def test_two_processes_at_once_send_one_notice(hook: Webhook, tmp_path: Path) -> None:
    together = [
        threading.Thread(target=notifier(tmp_path, notify_webhook_url=hook.url).tell, args=[FAILURE]) for _ in range(8)
    ]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert len(hook.received) == 1


def test_an_error_that_is_not_ours_is_named_by_its_type_only() -> None:
    assert "Meier" not in Notice.of(JOB, ValueError("Meier")).text
    assert "cannot be reached" in Notice.of(JOB, HapiUnavailableError("it cannot be reached")).text


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"WEBHOOK_URL": "ftp://swordfish/x"}, "LAMBDA_PIPELINE_NOTIFY_WEBHOOK_URL: .*begins with http://"),
        ({"SMTP_URL": "swordfish.org", "MAIL_TO": "a@x.org"}, "LAMBDA_PIPELINE_NOTIFY_SMTP_URL: .*smtp://"),
        ({"SMTP_URL": "smtp://host:swordfish", "MAIL_TO": "a@x.org"}, "LAMBDA_PIPELINE_NOTIFY_SMTP_URL"),
        ({"SMTP_URL": "smtp://swordfish.org"}, "LAMBDA_PIPELINE_NOTIFY_MAIL_TO names nobody"),
        ({"MAIL_TO": "swordfish"}, "LAMBDA_PIPELINE_NOTIFY_MAIL_TO: .*mail addresses"),
    ],
)
def test_wrong_settings_are_refused_without_their_values(
    variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"LAMBDA_PIPELINE_NOTIFY_{name}", value)
    with pytest.raises(ConfigurationError, match=problem) as raised:
        load_settings()
    assert "swordfish" not in str(raised.value)
