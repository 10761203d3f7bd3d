"""Plugins: found by name, loaded in the order of the list, checked before anything serves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from config.loader import ConfigError
from config.settings import Settings
from gateway.plugin_loader import bind, idle_tables, load

WRONG = """
class Plugin:
    @hookimpl
    def admit(self, cal): ...
    @hookimpl
    async def admitt(self): ...
"""
NEEDY = """
import nothing_of_that_name
class Settings(BaseModel):
    url: str = Field(description="needed")
class Plugin: ...
"""
SWAPPED = """
class Plugin:
    seen = []
    @hookimpl
    async def call_finished(self, outcome, call):
        self.seen.append((outcome, call))
"""


def settings(plugins: list[str], **tables: dict[str, object]) -> Settings:
    gateway = {"plugins": plugins, "plugin_dirs": ["plugins"]}
    return Settings.model_validate({"gateway": gateway, "plugins": tables})


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A folder of drop-in plugins beside a gateway.toml; returns the folder of the toml."""
    (tmp_path / "plugins").mkdir()
    return tmp_path


def plugin(root: Path, name: str, body: str) -> None:
    head = "from pydantic import BaseModel, Field\nfrom gateway.hookspecs import hookimpl\n"
    (root / "plugins" / f"{name}.py").write_text(head + body)


def test_the_list_is_the_order_and_only_what_it_names_is_imported(drop: Path) -> None:
    plugin(drop, "one", "class Plugin:\n    @hookimpl\n    async def admit(self, call): ...\n")
    plugin(drop, "two", "class Plugin:\n    @hookimpl\n    async def admit(self, call): ...\n")
    plugin(drop, "broken", "raise SystemError('imported')\n")
    loaded = load(settings(["two", "one", "retry"]), drop)
    assert [(p.name, p.hooks) for p in loaded] == [("two", ("admit",)), ("one", ("admit",)), ("retry", ("wrap_generate",))]
    bound = bind(loaded)
    assert [found.plugin for found in bound._admit] == ["two", "one"]


def test_all_mistakes_of_all_plugins_are_told_at_once(drop: Path) -> None:
    plugin(drop, "broken", "import nothing_of_that_name\n")
    plugin(drop, "classless", "x = 1\n")
    plugin(drop, "wrong", WRONG)
    with pytest.raises(ConfigError) as raised:
        load(settings(["broken", "classless", "wrong", "rety", "retry", "retry"], nobody={}), drop)
    text = "\n".join(raised.value.problems)
    for part in (
        "broken cannot be imported: ModuleNotFoundError",
        "classless has no class Plugin",
        "wrong.admit must be a coroutine, it is sync",
        "wrong.admit has no argument 'cal', did you mean 'call'?",
        "wrong.admitt is no hook, did you mean 'admit'?",
        "no plugin 'rety' in the plugin folders, did you mean 'retry'?",
        "gateway.plugins.5: 'retry' is listed twice",
        "plugins.nobody: no such plugin",
    ):
        assert part in text


def test_a_wrong_setting_of_a_plugin_has_its_dotted_path(drop: Path) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.rate_limit\.globl_per_hour: .* did you mean 'global_per_hour'"):
        load(settings(["rate_limit"], rate_limit={"globl_per_hour": 1}), drop)


def test_a_plugin_that_needs_settings_and_has_none_sleeps_and_is_not_imported(drop: Path) -> None:
    plugin(drop, "needy", NEEDY)
    (found,) = load(settings(["needy"]), drop)
    assert found.dormant and found.hooks == ()


def test_two_files_of_one_name_are_a_mistake_that_names_both(drop: Path) -> None:
    plugin(drop, "retry", "class Plugin: ...\n")
    with pytest.raises(ConfigError, match=r"two files have the name retry: .*retry\.py and .*retry\.py"):
        load(settings(["retry"]), drop)


def test_a_plugin_may_take_some_of_the_arguments_in_any_order(drop: Path) -> None:
    plugin(drop, "swapped", SWAPPED)
    (loaded,) = load(settings(["swapped"]), drop)

    asyncio.run(bind([loaded]).call_finished("the call", "the outcome"))  # type: ignore[arg-type]
    assert loaded.instance.seen == [("the outcome", "the call")]


def test_settings_for_a_file_without_a_plugin_say_what_is_missing(drop: Path) -> None:
    plugin(drop, "classless", "x = 1\n")
    with pytest.raises(ConfigError, match="classless has no class Plugin"):
        load(settings(["classless"], classless={"x": 1}), drop)


def test_the_table_of_a_plugin_that_is_off_is_looked_at_all_the_same(drop: Path) -> None:
    plugin(drop, "mine", "raise SystemError('imported')\n")
    found = idle_tables(settings(["retry"], retry={}, mine={"x": 1}, rate_limit={"globl_per_hour": 1}))
    assert found == [
        "plugins.mine: does nothing, gateway.plugins does not name it",
        "plugins.rate_limit: does nothing, gateway.plugins does not name it",
        "plugins.rate_limit.globl_per_hour: unknown setting, did you mean 'global_per_hour'?",
    ]


def test_without_a_list_every_plugin_of_the_tree_is_on(tmp_path: Path) -> None:
    loaded = load(Settings(), tmp_path)
    assert {plugin.stem for plugin in (Path(__file__).parent.parent / "plugins").glob("*.py")} == {p.name for p in loaded}
    assert "openai_api" in [plugin.name for plugin in loaded if not plugin.dormant]
