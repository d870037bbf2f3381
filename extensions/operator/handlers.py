# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hands what kopf reports about IstioOperator objects on to the keeper."""

from __future__ import annotations

import logging
import typing as t

import kopf
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

from . import crd
from .documents import is_ignored
from .keeper import Keeper
from .pace import backoff
from .removal import StillUsed

#: The finalizer of Istio's legacy operator: its objects are handled as they are.
FINALIZER = "istio-finalizer.install.istio.io"
_PREFIX = "operator.meshops.istio"
_USED_AGAIN = 15


def register(registry: kopf.OperatorRegistry, keeper: Keeper) -> None:
    """Registers the handlers."""
    where: tuple[str, str, str] = (crd.GROUP, crd.VERSION, crd.PLURAL)

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: t.Any) -> None:
        settings.persistence.finalizer = FINALIZER
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX, key="last-seen")
        settings.posting.enabled = False  # the operator's own events say more
        settings.scanning.disabled = True
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.watching.inactivity_timeout = 330

    @kopf.on.login(registry=registry)
    def login(**words: t.Any) -> t.Any:
        return kopf.login_with_service_account(**words) or kopf.login_with_kubeconfig(**words)

    @kopf.on.event(*where, registry=registry)
    def seen(event: t.Mapping[str, t.Any], body: kopf.Body, namespace: str | None, name: str, **_: t.Any) -> None:
        if event["type"] == "DELETED":
            keeper.gone(namespace or "", name)
        else:
            keeper.noticed(body)

    # An ignored object gets no finalizer from us: nobody would remove it.
    @kopf.on.delete(*where, registry=registry, when=lambda body, **_: not is_ignored(body))
    def remove(namespace: str | None, name: str, retry: int, **_: t.Any) -> None:
        logging.getLogger("operator").info("%s/%s is being deleted", namespace, name)
        try:
            keeper.remove(namespace or "", name)
        except StillUsed as error:
            raise kopf.TemporaryError(str(error), delay=_USED_AGAIN) from error
        except MeshopsError as error:
            raise kopf.TemporaryError(str(error), delay=backoff(retry + 1)) from error
