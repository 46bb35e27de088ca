"""Where requests may go, and with which key."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from typing import Any
from urllib.parse import urlsplit

from pondera.errors import ConfigError

DEFAULT_KEY_ENV = "OPENAI_API_KEY"

_HIDDEN = "[API key]"


def read_key(api_key_env: str) -> str:
    """The key in this environment variable; "" for none.

    Raises:
        ConfigError: it cannot stand in a header. HTTP libraries quote such a value in their errors, which are stored.
    """
    key = os.environ.get(api_key_env, "").strip() if api_key_env else ""
    if not re.fullmatch(r"[!-~]*", key):
        raise ConfigError(
            f"the value of {api_key_env} holds white space or characters outside ASCII, so it is no API key; set it "
            "to the key alone"
        )
    return key


def without_key(body: bytes, key: str) -> bytes:
    """A reply in which the key does not stand, neither as it is nor in the escapes of JSON ("\\/", "\\u002B").

    Args:
        body: as received.
        key: "" for none.
    """
    if not key:
        return body
    clean = body.replace(key.encode(), _HIDDEN.encode())
    if b"\\" not in clean:
        return clean
    try:
        value = json.loads(clean)
    except (ValueError, RecursionError):
        return clean  # nothing will undo its escapes
    shown = _hidden(value, key)
    return clean if shown == value else json.dumps(shown).encode()


def _hidden(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return value.replace(key, _HIDDEN)
    if isinstance(value, list):
        return [_hidden(item, key) for item in value]
    if isinstance(value, dict):
        return {name.replace(key, _HIDDEN): _hidden(item, key) for name, item in value.items()}
    return value


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: who gets what is sent there."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def check_address(base_url: str, *, has_key: bool) -> None:
    """Refuse what is no address of a service, holds a secret, or would give one away.

    Raises:
        ConfigError: the message shows no secret.
    """
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("base_url is no address; give one such as http://127.0.0.1:8000/v1") from None
    # What stands in these places may be a secret, so it is not repeated.
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("base_url must hold no user, password or query; keys come from the environment (api_key_env)")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"base_url must be like http://127.0.0.1:8000/v1, got {base_url!r}")
    if has_key and parts.scheme == "http" and not _is_private(host):
        raise ConfigError(
            f"base_url {base_url!r} would send the API key unencrypted over the network; use https, or no key: "
            "api_key_env = ''"
        )


def _is_private(host: str) -> bool:
    """Loopback and private addresses; a name other than localhost may lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost"
