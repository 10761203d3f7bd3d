"""The files that others run: image, compose, proxy, Kubernetes, systemd, alerts, dashboard. Checked as far as it goes
without an engine: by the linters of their fields, and against what the gateway really says and takes."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser
import pytest
import yaml

from config.loader import load
from gateway import plugin_loader, reference
from gateway.testing import make_client
from plugins.metrics import Plugin as Metrics
from plugins.metrics import Settings as MetricsSettings
from tests.operations.conftest import ASK, ROOT, Start, free_port, until_healthy

BIN = Path(sys.executable).parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "gateway.yaml").read_text()))
PROFILES = ("local", "team", "public")
SECRETS = {"GATEWAY_SECRET": "a secret", "API_KEY": "sk-deploy", "ADMIN_KEY": "adm-deploy"}
SECRETS["GATEWAY__ADMIN__KEY"] = SECRETS["ADMIN_KEY"]


def ran(*command: str | Path, **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=50, env={**os.environ, **environ}, cwd=ROOT
    )
    return done.returncode, done.stdout + done.stderr


# --- image --------------------------------------------------------------------------------------------------------


def test_the_dockerfile_is_clean_locked_and_not_run_by_root() -> None:
    assert ran(BIN / "hadolint", "Dockerfile") == (0, "")
    text = (ROOT / "Dockerfile").read_text()
    final = text.rsplit("\nFROM ", 1)[1]
    assert "--require-hashes" in text and "-r requirements.lock" in text
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert 'HEALTHCHECK --interval=15s --timeout=6s --start-period=10s CMD ["python", "-m", "gateway", "health"]' in final


def test_the_lock_holds_every_requirement_with_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert "://" not in text
    entries = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = [*setup["options"]["install_requires"].split("\n"), *setup["options.extras_require"]["speed"].split("\n")]
    for requirement in filter(None, wanted):
        name, _, rest = requirement.partition(" ")
        name = name.lower().replace("_", "-")
        least = re.search(r"[>=]= ([\d.]+)", rest)
        assert name in locked, f"{name}: run `make lock`"
        if least:
            assert numbers(locked[name]) >= numbers(least[1]), f"{name}: run `make lock`"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


async def test_it_runs_from_a_tree_that_it_never_writes_to(tmp_path: Path) -> None:
    tree, state, port = tmp_path / "app", tmp_path / "state", free_port()
    for name in ("gateway", "config", "plugins", "watermark", "static"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gateway.toml", tree)
    before = contents(tree)
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "GATEWAY__STATE__DIR": str(state), "PORT": str(port)}
    environ |= {"GATEWAY__SERVER__HOST": "0.0.0.0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", cwd=tree, env=environ, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    said = [await process.stdout.readline() for _ in range(3)]
    assert b"made a new admin_key" in said[1] and b"made a new api_key" in said[2]
    healthy = await asyncio.to_thread(subprocess.run, [sys.executable, "-m", "gateway", "health"], cwd=tree, env=environ)
    assert healthy.returncode == 0
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    process._transport.close()  # type: ignore[attr-defined]
    assert contents(tree) == before
    assert {file.name for file in state.iterdir()} >= {"admin_key", "api_key"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in [state, *state.iterdir()])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


# --- configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_a_right_configuration_with_plugins_in_order(profile: str) -> None:
    loaded = load(ROOT / "config" / "profiles" / f"{profile}.toml", environ=SECRETS)
    plugin_loader.load(loaded.settings, loaded.root)
    in_order(loaded.settings.gateway.plugins)
    assert (loaded.root / loaded.settings.state.dir).resolve() == ROOT / "state"


def in_order(names: tuple[str, ...]) -> None:
    assert list(names) == [name for name in reference.PLUGINS if name in names]
    assert {"metrics", "api_key", "rate_limit", "retry", "openai_api", "gemini_api"} <= set(names)


def test_kubernetes_runs_the_configuration_that_it_ships(tmp_path: Path) -> None:
    config, deployment, service, budget = MANIFESTS
    (tmp_path / "gateway.toml").write_text(config["data"]["gateway.toml"])
    settings = load(tmp_path / "gateway.toml", environ=SECRETS).settings
    in_order(settings.gateway.plugins)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    stopping = settings.server.shutdown_delay_s + settings.server.shutdown_grace_s
    assert pod["terminationGracePeriodSeconds"] > stopping
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert {port["name"]: port["containerPort"] for port in container["ports"]}["http"] == settings.server.port
    assert container["securityContext"]["readOnlyRootFilesystem"] is True and pod["securityContext"]["runAsNonRoot"] is True
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == budget["spec"]["selector"]["matchLabels"]
    assert budget["spec"]["minAvailable"] < deployment["spec"]["replicas"]


def test_kubernetes_takes_the_manifests() -> None:
    status, said = ran(BIN / "kubernetes-validate", DEPLOY / "kubernetes" / "gateway.yaml")
    assert (status, said.count("passed")) == (0, 4), said


def test_compose_sets_only_what_exists_and_gives_time_to_drain() -> None:
    service = COMPOSE["services"]["gateway"]
    environ = {name: re.sub(r"\$\{(\w+).*\}", lambda found: SECRETS.get(found[1], ""), str(value))
               for name, value in service["environment"].items()}  # fmt: skip
    settings = load(ROOT / "gateway.toml", environ=environ).settings
    server = settings.server
    assert int(service["stop_grace_period"].removesuffix("s")) > server.shutdown_delay_s + server.shutdown_grace_s
    ports = {str(server.port), settings.plugins["metrics"]["listen"].rsplit(":")[-1]}
    assert ports == set(service["expose"])
    assert service["ulimits"]["nofile"] >= server.max_connections + 200
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]


def test_compose_names_only_what_is_there() -> None:
    for name, service in COMPOSE["services"].items():
        image = service["image"]
        assert "build" in service or (":" in image and not image.endswith(":latest")), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
        published = [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")]
        assert not published, f"{name} is reachable from everywhere"


def test_systemd_starts_what_exists_and_outwaits_the_drain() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "systemd" / "gemini-gateway.service")
    service = unit["Service"]
    settings = load(ROOT / "gateway.toml", environ={}).settings
    assert int(service["TimeoutStopSec"]) > settings.server.shutdown_delay_s + settings.server.shutdown_grace_s
    assert service["ExecStart"].split(" ", 1)[1].startswith("-m gateway serve --config ")
    assert service["RestartPreventExitStatus"] == "2"
    assert (service["ProtectSystem"], service["NoNewPrivileges"], service["LimitCORE"]) == ("strict", "yes", "0")


async def test_a_socket_that_systemd_opened_is_taken_over(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """As sd_listen_fds(3) says: descriptor 3, and the pid of who it is for."""
    port = free_port()
    program = (
        "import os, socket, sys\n"
        f"s = socket.create_server(('127.0.0.1', {port}), backlog=64)\n"
        "os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'gateway', 'serve', '--config', sys.argv[1]])\n"
    )
    (tmp_path / "gateway.toml").write_text(f'[server]\nport = {free_port()}\n[state]\ndir = "{tmp_path}"\n')
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "gateway.toml"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    assert f":{port}" in (await process.stdout.readline()).decode()
    async with http.get(f"http://127.0.0.1:{port}/health") as response:
        assert response.status == 200
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


# --- proxy --------------------------------------------------------------------------------------------------------


def test_caddy_takes_the_caddyfile() -> None:
    status, said = ran(BIN / "caddy", "validate", "--config", DEPLOY / "Caddyfile", "--adapter", "caddyfile")
    assert status == 0 and "Valid configuration" in said, said


async def test_streams_go_through_the_proxy_as_they_come(start: Start, http: aiohttp.ClientSession) -> None:
    async with start(server={"allowed_hosts": ["127.0.0.1"]}) as process:
        await process.ready(http)
        site = free_port()
        environ = {"GATEWAY_SITE": f"http://127.0.0.1:{site}", "GATEWAY_NAME": "localhost"}
        environ |= {"GATEWAY_PORT": process.url.rsplit(":", 1)[1], "XDG_DATA_HOME": str(process.file.parent)}
        caddy = await asyncio.create_subprocess_exec(
            BIN / "caddy", "run", "--config", DEPLOY / "Caddyfile", "--adapter", "caddyfile",
            env={**os.environ, **environ}, stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{site}"
            await until_healthy(url)
            prompt = "[[sim chars=600 frames=20 pace_ms=50]]"
            slow = {**ASK, "stream": True, "messages": [{"role": "user", "content": prompt}]}
            pieces = []
            async with http.post(f"{url}/v1/chat/completions", json=slow) as response:
                async for piece in response.content.iter_any():
                    pieces.append(piece)
            assert len(pieces) > 5 and b"".join(pieces).rstrip().endswith(b"[DONE]")
        finally:
            caddy.terminate()
            await caddy.wait()


# --- watching -----------------------------------------------------------------------------------------------------


def queries() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"] and rule["labels"]["severity"] in ("page", "ticket")
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "gateway.json").read_text())
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "prometheus"
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]


def selectors(node: Any) -> Iterator[Any]:
    """Every vector selector in a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from selectors(child)
    for child in getattr(node, "args", ()):
        yield from selectors(child)


async def test_every_query_asks_for_what_metrics_really_has() -> None:
    async with make_client(plugins=[("metrics", Metrics(MetricsSettings()))]) as client:
        await client.chat("hello")
        async with client.http.get("/metrics") as response:
            text = await response.text()
    samples = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    declared = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    labels = {name: set(re.findall(r'(\w+)="', line)) for line in text.splitlines() if (name := line.split("{")[0])}
    asked = 0
    for what, query in queries():
        for selector in selectors(promql_parser.parse(query)):
            asked += 1
            assert selector.name in samples | declared | {"up"}, what
            if selector.name in labels:
                used = {matcher.name for matcher in selector.matchers.matchers}
                assert used <= labels[selector.name], what
    assert asked > 25


def test_what_compose_mounts_into_prometheus_and_grafana_fits() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["dns_sd_configs"][0]["names"] == ["gateway"]
    assert str(job["dns_sd_configs"][0]["port"]) in COMPOSE["services"]["gateway"]["expose"]
    assert (DEPLOY / "prometheus" / prometheus["rule_files"][0]).is_file()
    source = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["uid"] == "prometheus"
    provider = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "dashboards" / "gateway.yml").read_text())
    mounted = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert provider["providers"][0]["options"]["path"] in mounted




def test_each_way_to_start_it_gives_the_memory_of_a_burst_back(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\necho started with PYTHONMALLOC=$PYTHONMALLOC\n")
    stand_in.chmod(0o755)
    start = ["make", "--old-file", ".venv/ready", "run", f"BIN={tmp_path}"]
    made = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    unit = (ROOT / "deploy/systemd/gemini-gateway.service").read_text()
    image = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]
    assert "started with PYTHONMALLOC=malloc" in made
    assert all("PYTHONMALLOC=malloc" in text for text in (unit, image))
