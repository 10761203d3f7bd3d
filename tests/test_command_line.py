"""What a newcomer types, typed: the demo and the README's own lines against it, and the commands that look."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from gateway.__main__ import main

ROOT = Path(__file__).parent.parent
READMES = [file for file in (ROOT / "README.md", ROOT / "README.zh-CN.md")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[str, list[str]]]:
    """The demo as a process; its URL and what it said."""
    command = [sys.executable, "-W", "error", "-m", "gateway", "demo", "--port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        assert process.stdout
        said: list[str] = []
        while not (said and "listens on" in said[-1]):
            said.append(process.stdout.readline())
            assert said[-1], "the demo ended before it listened"
        found = re.search(r"http://[\d.:]+", said[-1])
        assert found
        yield found.group(), said
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def ran(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    return done.returncode, done.stdout


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_demo_says_that_it_is_simulated(demo: tuple[str, list[str]]) -> None:
    url, said = demo
    assert "SIMULATED" in "".join(said) and "sk-demo" in said[-1]
    _, info = ran("curl", "-s", f"{url}/api/info")
    assert orjson.loads(info)["simulated"] is True


@pytest.mark.parametrize("readme", READMES, ids=lambda file: file.name)
def test_the_readmes_curl_lines_are_answered(demo: tuple[str, list[str]], readme: Path) -> None:
    url, _ = demo
    lines = [block for block in blocks(readme, "sh") if block.startswith("curl")]
    assert len(lines) >= 3
    for line in lines:
        command = shlex.split(line.replace("http://127.0.0.1:8100", url).replace("\\\n", " "))
        _, said = ran("curl", "-s", "-i", "--max-time", "50", *command[1:])
        head, _, body = said.partition("\n\n")
        assert " 200 " in head.splitlines()[0], said
        assert "x-gateway-simulated: true" in head
        assert len(body) > 100


@pytest.mark.parametrize("readme", READMES, ids=lambda file: file.name)
def test_the_readmes_python_examples_run(demo: tuple[str, list[str]], readme: Path) -> None:
    url, _ = demo
    for example in blocks(readme, "python"):
        status, said = ran(sys.executable, "-c", example.replace("http://127.0.0.1:8100", url))
        assert (status, len(said) > 40) == (0, True), example


def run(*arguments: str) -> int:
    return main(list(arguments))


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.toml"
    file.write_text((ROOT / "gateway.toml").read_text("utf-8"))
    return file


def test_plugins_shows_the_order_the_hooks_and_the_settings(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "--config", str(toml)) == 0
    said = capsys.readouterr().out
    names = re.findall(r"^ *\d+ (\w+) ", said, re.MULTILINE)
    assert names.index("api_key") < names.index("rate_limit") < names.index("retry") < names.index("openai_api")
    assert "hooks: admit" in said or "hooks: lifespan, admit" in said
    assert "global_per_hour = 60" in said


def test_check_is_content_with_the_shipped_file_and_lists_mistakes(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--config", str(toml), "check") == 0
    toml.write_text('[server]\nprot = 1\n[gateway]\nplugins = ["metrix"]\n')
    assert run("check", "--config", str(toml)) == 2
    assert "server.prot: unknown setting, did you mean 'port'?" in capsys.readouterr().err
    toml.write_text('[server]\nprot = 1\n[gateway]\nplugins = ["metrix", "rate_limit"]\n[plugins.rate_limit]\nglobal = 1\n')
    assert run("check", "--config", str(toml)) == 2
    said = capsys.readouterr().err
    for part in ("server.prot", "did you mean 'metrics'?", "plugins.rate_limit.global: unknown setting"):
        assert part in said


def test_check_warns_of_what_is_hardly_meant(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml.write_text('[gateway]\nplugins = ["openai_api"]\n[plugins.api_key]\nkeys = []\n')
    assert run("check", "--config", str(toml)) == 0
    assert "warning: plugins.api_key: does nothing, gateway.plugins does not name it" in capsys.readouterr().err
    toml.write_text("[gateway]\nplugins = []\n")
    assert run("check", "--config", str(toml)) == 0
    assert "warning: gateway.plugins is empty" in capsys.readouterr().err


def test_a_folder_named_config_where_it_is_started_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    command = [sys.executable, "-c", "from gateway.accounts.catalogue import Catalogue; print(*Catalogue().models)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "gemini-2.5-pro" in done.stdout, done.stderr


def test_health_of_nobody_is_an_exit_status(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("health", "--config", str(toml), "--port", str(free_port())) == 1
    assert "not alive" in capsys.readouterr().err


GENERATED: Sequence[tuple[str, str]] = (
    ("gateway.toml", "gateway.toml"),
    ("configuration", "docs/configuration.md"),
    ("hooks", "docs/hooks.md"),
)


@pytest.mark.parametrize(("page", "file"), GENERATED)
def test_generated_pages_say_what_the_code_says(page: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("docs", page) == 0
    assert capsys.readouterr().out == (ROOT / file).read_text("utf-8"), "run `make docs`"
