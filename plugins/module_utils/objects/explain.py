# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says why an object isn't ready."""

from __future__ import annotations

import re
import typing as t

from ..cluster.client import FIELD_MANAGER, Cluster
from ..cluster.errors import ApiError
from ..errors import MeshopsError
from ..reconcile.handover import described, kept_items
from ..reconcile.plan import Change
from ..reconcile.schema import Schema
from .schemas import _Schemas

#: How the API server says that a user lacks a right; other refusals with status 403 are those of policies and quotas.
_NO_RIGHT = re.compile(r'forbidden: User ".*?" cannot ')


class _Explainer:
    """Turns refusals into messages that say object, field and remedy."""

    def __init__(self, cluster: Cluster) -> None:
        self._schemas = _Schemas(cluster)
        self.missing_namespace: dict[tuple[t.Any, ...], bool] = {}

    def __call__(self, change: Change, error: ApiError) -> str:
        from ..cluster.refusal import hushed, sentences

        text = str(error)
        said = sentences(text, error.causes, change.after or {}, lambda: self._schema(change))
        if said:
            return f"{change.title}: {'; '.join(said)}{_kept_by_others(change)}"
        if error.status == 404 and f'namespaces "{change.namespace}" not found' in text:
            self.missing_namespace[change.key] = True
            return (
                f"{change.title}: namespace {change.namespace} does not exist:"
                " create it first, or declare it among the objects"
            )
        remedy = ""
        if error.status == 403 and _NO_RIGHT.search(text):
            remedy = " (give the user of this kubeconfig the right to do so)"
        return f"{change.title}: {hushed(text, change.before, change.after)}{remedy}"

    def _schema(self, change: Change) -> Schema | None:
        try:
            return self._schemas.published(change.api_version, change.kind)
        except MeshopsError:  # the message does without it
            return None


def _kept_by_others(change: Change) -> str:
    """Items of lists that other managers keep beside the declared ones: often what makes an object invalid."""
    if not change.before or not change.after:
        return ""
    kept = kept_items(change.after, change.before, FIELD_MANAGER)
    return f". Not declared, but kept: {described(kept)}. Remove it with force_conflicts: true" if kept else ""
