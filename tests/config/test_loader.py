"""What a user configures is what runs, or all mistakes are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loader import ConfigError, load, masked


def write(folder: Path, toml: str, dotenv: str = "") -> Path:
    (folder / ".env").write_text(dotenv)
    file = folder / "gateway.toml"
    file.write_text(toml)
    return file


def test_the_environment_goes_before_dotenv_before_toml_before_defaults(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "[server]\nport = 1\nping_s = 1\nbody_timeout_s = 1\n",
        "GATEWAY__SERVER__PORT=2\nexport GATEWAY__SERVER__PING_S='2'\n# GATEWAY__SERVER__BODY_TIMEOUT_S=2\n",
    )
    server = load(file, {"GATEWAY__SERVER__PORT": "3"}).settings.server
    assert (server.port, server.ping_s, server.body_timeout_s, server.write_stall_s) == (3, 2, 1, 30)


def test_the_short_names_make_an_account_and_a_key(tmp_path: Path) -> None:
    environ = {
        "SECURE_1PSID": "g.a000x",
        "SECURE_1PSIDTS": "sidts-x",
        "API_KEY": "sk-x",
        "PORT": "9000",
        "REDIS_URL": "redis://h/1",
        "GATEWAY_SECRET": "correct horse",
    }
    settings = load(write(tmp_path, ""), environ).settings
    (account,) = settings.accounts
    assert account.name and account.secure_1psid.get_secret_value() == "g.a000x"
    assert settings.plugins["api_key"]["keys"] == [{"name": "default", "key": "sk-x"}]
    assert (settings.server.port, settings.state.url) == (9000, "redis://h/1")
    assert settings.state.secret is not None and settings.state.secret.get_secret_value() == "correct horse"


def test_redis_without_a_secret_is_refused_because_cookies_would_lie_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write(tmp_path, '[state]\nurl = "redis://h/1"'), {})
    (problem,) = refused.value.problems
    assert problem.startswith("state.secret: ") and "GATEWAY_SECRET" in problem


def test_lists_and_tables_come_as_json_or_by_number(tmp_path: Path) -> None:
    environ = {
        "GATEWAY__GATEWAY__PLUGINS": '["metrics"]',
        "GATEWAY__ACCOUNTS__0__NAME": "first",
        "GATEWAY__ACCOUNTS__0__SECURE_1PSID": "g.a000x",
    }
    settings = load(write(tmp_path, ""), environ).settings
    assert settings.gateway.plugins == ("metrics",)
    assert settings.accounts[0].name == "first"


def test_all_mistakes_come_at_once_with_their_paths_and_a_hint(tmp_path: Path) -> None:
    toml = '[server]\nprot = 1\nping_s = "soon"\n[gatewya]\n[[accounts]]\nsecure_1psid = "a b"\n[pool]\nqueue_size = -1\n'
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, toml), {})
    text = "\n".join(raised.value.problems)
    assert "server.prot: unknown setting, did you mean 'port'?" in text
    assert "gatewya: unknown setting, did you mean 'gateway'?" in text
    for path in ("server.ping_s:", "accounts.0.secure_1psid:", "pool.queue_size:"):
        assert path in text
    assert len(raised.value.problems) == 5


@pytest.mark.parametrize("cookie", ["a;b", 'a"b', "a/b", "a b", "a\nb", "ключ", "../../etc/passwd"])
def test_a_value_that_is_no_cookie_is_refused_and_not_quoted(tmp_path: Path, cookie: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, ""), {"SECURE_1PSID": cookie})
    assert cookie not in str(raised.value)


@pytest.mark.parametrize("table", ['[admin]\nkey = ""', '[admin]\nkey = "  "'])
def test_an_empty_admin_key_refuses_to_start(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigError, match=r"admin\.key: is empty"):
        load(write(tmp_path, table), {})


def test_a_broken_file_and_a_missing_one_are_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gateway\.toml"):
        load(write(tmp_path, "[server"), {})
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nothing.toml", {})


def test_secrets_are_masked_when_shown(tmp_path: Path) -> None:
    settings = load(write(tmp_path, '[admin]\nkey = "adm-secret"'), {"SECURE_1PSID": "g.a000secret"}).settings
    shown = repr(masked(settings)) + repr(settings)
    assert "g.a000secret" not in shown and "adm-secret" not in shown
