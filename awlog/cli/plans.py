"""The settings of a server -> what each of its parts is told. Everything raises CannotStart."""

from __future__ import annotations

import socket
from pathlib import Path

from awlog import __version__
from awlog.api.configuration import ApiSettings, EdgeLimits
from awlog.api.proxies import Proxies
from awlog.cli.exposure import is_exposed
from awlog.cli.server_config import ServerConfig
from awlog.engine.access import AccessRules
from awlog.engine.backups import BackupPlan
from awlog.engine.engine import Engine
from awlog.engine.forwarder import ForwardPlan
from awlog.engine.push import Hub
from awlog.engine.readers import QueryLimits
from awlog.engine.webhook import Webhook, check_url
from awlog.engine.webhooks import WebhookPlan
from awlog.model.errors import BadRequest, CannotStart
from awlog.storage.environment import Environment
from awlog.storage.identity import Identity


def engine_of(config: ServerConfig, rules: AccessRules, environment: Environment) -> Engine:
    """On the running loop. Raises DataDamaged, too."""
    return Engine(
        environment,
        cache_bytes=config.cache_bytes,
        query_limits=QueryLimits(
            run_s_max=config.max_query_s,
            memory_bytes_max=config.max_query_memory_bytes,
            cache_bytes=config.cache_bytes,
            text_bytes_max=config.max_query_bytes,
            nesting_max=config.max_query_nesting,
            periods_max=config.max_query_periods,
            running_max=config.max_queries,
            waiting_max=config.max_queries_waiting,
        ),
        access_rules=rules,
        backup_plan=BackupPlan(config.backup_dir, config.backup_interval_s, config.backup_keep),
        forward_plan=_forward_plan(config),
        jobs_waiting_max=config.max_jobs_waiting,
        webhook_plan=_webhook_plan(config),
    )


def api_settings_of(config: ServerConfig, identity: Identity) -> ApiSettings:
    return ApiSettings(
        host=config.host,
        port=config.port,
        testing=config.testing,
        hostname=socket.gethostname(),
        device_id=identity.device_id,
        version=__version__,
        webui_dir=config.webui,
        custom_pages=config.custom_static,
        cors_origins=config.cors_origins,
        allowed_hosts=config.allow_hosts,
        proxies=Proxies(config.trusted_proxies),
        base_path=config.base_path,
        is_encrypted=config.tls_cert is not None,
        body_bytes_max=config.max_body_bytes,
        import_bytes_max=config.max_import_bytes,
        access_log=config.access_log,
        limits=EdgeLimits(
            bodies_bytes=config.max_bodies_bytes,
            request_line_bytes=config.max_request_line_bytes,
            header_bytes=config.max_header_bytes,
            headers=config.max_headers,
            header_s=config.max_header_s,
            silence_s=config.max_silence_s,
            unread_s=config.max_unread_s,
            connections=config.max_connections,
            connections_per_address=config.max_connections_per_address,
            form_parts=config.max_form_parts,
            form_header_bytes=config.max_form_header_bytes,
        ),
    )


def access_rules_of(config: ServerConfig) -> AccessRules:
    return AccessRules(_api_key(config), config.require_tokens, is_exposed(config))


def _api_key(config: ServerConfig) -> str | None:
    """A file without one is refused: it was meant to protect something."""
    if config.api_key_file is None:
        return config.api_key or None
    if config.api_key:
        raise CannotStart("There is an API key in `api_key` and one in `api_key_file`: set one of the two")
    try:
        key = config.api_key_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if not key:
        raise CannotStart(f"There is no API key in {config.api_key_file}, which the setting `api_key_file` names")
    return key


def _forward_plan(config: ServerConfig) -> ForwardPlan | None:
    if config.forward_url is None:
        return None
    token = _secret(config.forward_token_file, "forward_token_file") or config.forward_token
    hub = Hub(config.forward_url, token, config.forward_prefixes or ("",))
    return ForwardPlan(hub, config.forward_token_file, config.forward_interval_s, config.forward_warn_s)


def _webhook_plan(config: ServerConfig) -> WebhookPlan | None:
    if not config.webhook_urls:
        return None
    secret = _secret(config.webhook_secret_file, "webhook_secret_file")
    if not secret:
        raise CannotStart("A webhook needs a secret to sign with: name a file that holds one by `webhook_secret_file`")
    prefixes = config.webhook_prefixes or ("",)
    try:
        for url in config.webhook_urls:
            check_url(url)
    except BadRequest as error:
        raise CannotStart(str(error)) from None
    hooks = [Webhook(url, secret, prefixes, config.webhook_allow_private) for url in config.webhook_urls]
    return WebhookPlan(hooks, config.webhook_interval_s)


def _secret(path: Path | None, setting: str) -> str | None:
    """What a file holds, None without a file."""
    try:
        return None if path is None else path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"The file that `{setting}` names cannot be read: {error}") from None
