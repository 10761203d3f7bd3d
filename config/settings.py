"""Every setting of the gateway: name, type, default and one sentence. Frozen values; unknown keys are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

# The plugins of the tree, outermost first.
PLUGINS = (
    "metrics",
    "access_log",
    "api_key",
    "model_aliases",
    "rate_limit",
    "structured_output",
    "retry",
    "quota_routing",
    "openai_api",
    "gemini_api",
    "anthropic_api",
    "watermark_removal",
    "r2_upload",
    "local_media",
    "alerts",
)
# RFC 6265 cookie-octets without "/": the library puts cookie values into file names if it is ever let near a disk.
_COOKIE_VALUE = re.compile(r"[!#-+\--.0-:<-\[\]-~]{1,4096}")


def _cookie_value(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not value:
        return secret
    if not _COOKIE_VALUE.fullmatch(value):
        raise ValueError("is not a cookie value (a quote, comma, semicolon, slash, space or control character is in it)")
    return secret


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("is empty; remove the line, or set a key")
    return secret


CookieValue = Annotated[SecretStr, AfterValidator(_cookie_value)]
Key = Annotated[SecretStr, AfterValidator(_filled)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Section(BaseModel):
    """Base of every table in gateway.toml: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(Section):
    """Where the gateway listens and what it accepts."""

    host: str = Field("127.0.0.1", description="Address to listen on. Other than loopback: a key is always required.")
    port: int = Field(8100, ge=0, le=65_535, description="TCP port; 0 takes a free one.")
    public_url: str | None = Field(None, description="Address under which clients reach the gateway (reverse proxy).")
    workers: int = Field(1, ge=1, le=256, description="Processes that share the port. More than 1 needs Redis.")
    allow_anonymous: bool = Field(False, description="Serve callers without a key on an address other than loopback.")
    allowed_hosts: tuple[str, ...] = Field((), description="Accepted Host names; empty accepts every name.")
    cors_origins: tuple[str, ...] = Field((), description="Origins of browser apps that may call the API; '*' for all.")
    max_json_mb: float = Field(
        4, gt=0, le=64, description="Largest request body without its media (long runs of base64 letters), in MB."
    )
    max_image_mb: float = Field(32, gt=0, le=512, description="Largest request body with media, in MB.")
    max_held_mb: float = Field(512, gt=0, description="Large bodies and files held at once, in MB; more is a 503.")
    header_timeout_s: Seconds = Field(15, description="Time for the request line and headers, and for idle connections.")
    body_timeout_s: Seconds = Field(30, description="Time for the whole request body (1 s more for each MB).")
    max_connections: int = Field(10_000, ge=10, description="Open connections; beyond, the longest idle one is closed.")
    max_memory_mb: int = Field(
        0, ge=0, description="Above so much resident memory new calls get 503; 0: 85 % of the container's limit, if any."
    )
    write_stall_s: Seconds = Field(30, description="A client that does not read for so long is dropped.")
    ping_s: Seconds = Field(15, description="Silence after which a stream gets a keep-alive.")
    fetch_timeout_s: Seconds = Field(20, description="Time to fetch a file that a caller names by its address.")
    fetch_files: int = Field(16, ge=0, le=32, description="Files that one request may name by address; 0: none.")
    fetch_mb: float = Field(64, gt=0, description="Such files of one request together, in MB.")
    fetch_private: bool = Field(
        False, description="Fetch such files from private addresses and over plain http too: any caller may look around."
    )
    shutdown_delay_s: float = Field(
        0, ge=0, le=600, description="After SIGTERM, time for load balancers to see that /ready says no; still serving."
    )
    shutdown_grace_s: float = Field(20, ge=0, le=3600, description="Time for running calls after that.")


class Admin(Section):
    """Who may see and change accounts, keys and settings."""

    key: Key | None = Field(None, description="Bearer key for /api/*. Without one: open on loopback, else made at start.")


class Gateway(Section):
    """Which plugins run, in which order, and how chats are kept."""

    plugins: tuple[str, ...] = Field(PLUGINS, description="Plugins, outermost first. Only what is named here is imported.")
    plugin_dirs: tuple[Path, ...] = Field((Path("plugins"),), description="Folders of plugin files, beside this file.")
    strict_models: bool = Field(False, description="Refuse an answer from a smaller model than the one asked for.")
    chat: Literal["temporary", "keep", "delete"] = Field(
        "temporary", description="Trace in the account: none, a kept chat, or a chat deleted after the reply."
    )
    reload: bool = Field(True, description="Read this file again when it changes; SIGHUP does so in any case.")
    hook_timeout_s: Seconds = Field(10, description="Time budget of one plugin hook.")


class Upstream(Section):
    """How long to wait for Gemini, and whom to trust."""

    ca_file: Path | None = Field(None, description="Extra CA bundle (PEM), for an inspecting proxy or the simulator.")
    init_timeout_s: Seconds = Field(30, description="Time to sign an account in.")
    first_byte_timeout_s: Seconds = Field(60, description="Time to the first sign of life of an answer.")
    stall_timeout_s: Seconds = Field(60, description="Longest silence in the middle of an answer.")
    total_timeout_s: Seconds = Field(300, description="Longest answer.")
    tail_timeout_s: Seconds = Field(5, description="How long a complete answer may take to close its connection.")
    activity_ping: Literal["background", "off"] = Field(
        "background", description="Tell Google that the account is in use, at most once a minute and off the reply's path."
    )


class Pictures(Section):
    """Pictures: how they are made, checked and handed out."""

    chat: Literal["delete", "keep"] = Field(
        "delete", description="The chat that made a picture (never a temporary one: those have no full size)."
    )
    in_chat: Literal["link", "data"] = Field(
        "link", description="Pictures in chat replies on /v1: a link to the stored file, or the file as a data URI."
    )
    upscale: bool = Field(False, description="Enlarge (Lanczos) what came smaller than asked for; the reply says so.")
    download_timeout_s: Seconds = Field(60, description="Time to download a picture, full size and fallback together.")
    max_megapixels: float = Field(25, gt=0, le=100, description="Largest picture that is taken from a caller.")
    threads: int = Field(2, ge=1, le=64, description="Pictures that are decoded or encoded at once.")


class Pool(Section):
    """How calls share the accounts."""

    allow_guest: bool = Field(False, description="Serve without an account too, as Google's guest (small model).")
    guest_proxy: SecretStr | None = Field(None, description="http(s):// or socks5:// proxy for calls as a guest.")
    queue_size: int = Field(64, ge=0, le=100_000, description="Calls that may wait for a free account.")
    queue_timeout_s: Seconds = Field(30, description="Longest wait for a free account.")
    max_concurrency: int = Field(8, ge=1, le=1000, description="Calls at once on one account.")
    egress_per_minute: int = Field(0, ge=0, description="Calls a minute through one proxy (or none); 0 is no limit.")
    egress_per_hour: int = Field(0, ge=0, description="Calls an hour through one proxy (or none); 0 is no limit.")
    rotation_interval_s: float = Field(
        600, ge=0, le=86_400, description="How often the cookies of each account are renewed; 0: never."
    )
    usage_interval_s: float = Field(
        300, ge=0, le=86_400, description="How often an account that is in use is asked how much is used up; 0: never."
    )


class Account(Section):
    """One Gemini account, by its cookies."""

    name: str = Field(
        "", max_length=64, pattern=r"^([A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)?$", description="Name in logs and metrics."
    )
    secure_1psid: CookieValue = Field(description="Value of the cookie __Secure-1PSID.")
    secure_1psidts: CookieValue = Field(SecretStr(""), description="Value of the cookie __Secure-1PSIDTS.")
    secure_1psidcc: CookieValue = Field(SecretStr(""), description="Value of the cookie __Secure-1PSIDCC.")
    proxy: SecretStr | None = Field(None, description="http(s):// or socks5:// proxy for this account.")
    language: str = Field("en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="Language of the account.")
    enabled: bool = Field(True, description="Switch an account off without deleting it.")
    max_concurrency: int | None = Field(None, ge=1, le=1000, description="Calls at once; default: pool.max_concurrency.")

    @model_validator(mode="after")
    def _has_cookie(self) -> Account:
        if not self.secure_1psid.get_secret_value():
            raise ValueError("secure_1psid is empty")
        return self


class State(Section):
    """Where records live that outlast a call."""

    url: str = Field("memory://", pattern=r"^(memory://|rediss?://.+)$", description="memory:// or redis://host/db.")
    secret: Key | None = Field(None, description="GATEWAY_SECRET: encrypts the cookie store. Required with redis.")
    other_secret: Key | None = Field(None, description="GATEWAY_OTHER_SECRET: read as well, while the secret is changed.")
    keep_responses_days: float = Field(30, ge=0, description="How long /v1/responses are kept; 0 keeps none.")
    cluster: bool = Field(False, description="The Redis at `url` is a cluster: follow its nodes.")
    dir: Path = Field(Path("state"), description="Folder for generated keys and encrypted cookies (made with mode 0700).")


class Settings(Section):
    """All of gateway.toml. `plugins` stays raw here: each plugin validates its own table. `origins` maps the dotted path
    of each value that is no default to where it was read: a file's name, or that of an environment variable."""

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> dict[str, str]:
        return self._origins

    server: Server = Server()
    admin: Admin = Admin()
    gateway: Gateway = Gateway()
    upstream: Upstream = Upstream()
    pictures: Pictures = Pictures()
    pool: Pool = Pool()
    accounts: tuple[Account, ...] = ()
    state: State = State()
    plugins: dict[str, dict[str, Any]] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_accounts(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("accounts"), list):
            accounts = [dict(a) if isinstance(a, dict) else a for a in data["accounts"]]
            for number, account in enumerate(accounts, 1):
                if isinstance(account, dict) and not account.get("name"):
                    account["name"] = f"account-{number}"
            data = {**data, "accounts": accounts}
        return data

    @model_validator(mode="after")
    def _secret_where_shared(self) -> Settings:
        if self.state.url.startswith("redis") and self.state.secret is None:
            raise ValueError("state.secret: redis holds cookies, encrypted: set GATEWAY_SECRET, the same on all replicas")
        return self

    @model_validator(mode="after")
    def _shared_between_workers(self) -> Settings:
        if self.server.workers > 1 and self.state.url == "memory://":
            raise ValueError("server.workers: more than 1 need state.url = \"redis://...\", which they share")
        return self

    @model_validator(mode="after")
    def _unique_accounts(self) -> Settings:
        names = [account.name for account in self.accounts]
        if double := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"accounts: two have the name {sorted(double)[0]!r}")
        by_cookie: dict[str, str] = {}
        for account in self.accounts:
            other = by_cookie.setdefault(account.secure_1psid.get_secret_value(), account.name)
            if other != account.name:  # each would rotate the other's cookies away
                raise ValueError(f"accounts: {other!r} and {account.name!r} have the same secure_1psid")
        return self
