# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applies what objects declare, with one of the operator's playbooks."""

from __future__ import annotations

import typing as t

from . import documents, playbook
from .documents import Component, Share
from .objects import Objects
from .playbook import PlayResult
from .settings import Settings
from .supervision import CancelToken, Heartbeat


class Applier:
    """Applies what objects declare."""

    def __init__(self, settings: Settings, objects: Objects, kubeconfig: str) -> None:
        self._settings, self._objects, self._kubeconfig = settings, objects, kubeconfig

    def apply(
        self,
        share: Share,
        left_over: t.Iterable[Component],
        retiring: t.Collection[str],
        heartbeat: Heartbeat,
        cancel: CancelToken | None = None,
    ) -> PlayResult:
        """Applies what an object owns, then removes what it no longer declares.

        :param left_over: the components that are removed
        :param retiring: revisions that are removed afterwards: the default validator does not stay with them
        """
        variables = documents.variables(share.obj, self._settings, share.others)
        document = variables.pop("istio_operator")
        namespaces = {namespace for namespace, _name in share.owned}
        given = {f"control_plane_{name}": value for name, value in variables.items()} | {
            "control_plane_remove_undeclared": False,  # it may be another object's
            "control_plane_retiring": list(retiring),
            "control_plane_take_ownership": self._objects.has_legacy(namespaces),
            "operator_left_over": documents.absent(left_over),
        }
        files = {"control_plane_istio_operator": document}
        return playbook.run("apply", given, files, self._kubeconfig, heartbeat, cancel)
