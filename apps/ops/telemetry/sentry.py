"""Errors that are logged go to Sentry: masked, without local variables, with what they belong to."""

import json
from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings

from apps import VERSION
from apps.ops.logs import context
from apps.ops.telemetry.loading import load
from apps.trading import masking


def begin(dsn: str, process: str) -> None:
    """Send what is logged as an error from now on. Whatever fails on the way is dropped: the log has it anyway."""
    sdk = load("sentry_sdk", "SENTRY_DSN")
    sdk.init(
        dsn=dsn,
        release=VERSION,
        environment=settings.ENVIRONMENT,
        server_name=settings.HOST_NAME,
        # Failed requests and tasks are logged as errors: no other part of ours needs to be watched, or patched.
        auto_enabling_integrations=False,
        include_local_variables=False,
        send_default_pii=False,
        max_breadcrumbs=20,
        before_send=masked,
        before_breadcrumb=masked,
    )
    sdk.set_tag("process", process)


def masked(event: Mapping[str, Any], hint: object) -> dict[str, Any]:
    """Return what is to be sent without secrets, and with the request and task it belongs to."""
    found = cast("dict[str, Any]", json.loads(masking.mask(json.dumps(event, default=str))))
    if "tags" in found or "exception" in found or "logentry" in found:
        found["tags"] = {**(found.get("tags") or {}), **context.current()}
    return found
