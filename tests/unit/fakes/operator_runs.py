# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An IstioOperator and the playbooks that are run for it, in memory."""

from __future__ import annotations

import json

from ansible_collections.meshops.istio.extensions.operator import status
from ansible_collections.meshops.istio.extensions.operator.documents import LAST_GOOD
from ansible_collections.meshops.istio.extensions.operator.objects import Uses
from ansible_collections.meshops.istio.extensions.operator.playbook import CONTROL_PLANE, PURGE, PlayResult

REF = ("istio-system", "mesh")
NOTHING_DONE = {"changed": False, "releases": [{"name": "istiod", "namespace": "istio-system", "action": "none"}]}


class Objects:
    """One object, what is published about it, and what the API server would refuse."""

    def __init__(self) -> None:
        meta = {"namespace": "istio-system", "name": "mesh", "uid": "1", "generation": 1, "annotations": {}}
        self.obj = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "metadata": meta, "spec": {}}
        self.events: list[str] = []
        self.used: dict[str, Uses] = {}
        self.refused = ""

    def get(self, *_place):
        return self.obj

    def all(self):
        return [self.obj]

    def tell(self, obj, outcome):
        self.obj = {**obj, "status": status.status(obj, outcome, "now")}
        return self.obj

    def event(self, _obj, event):
        self.events.append(event.reason)

    def remember(self, obj):
        obj["metadata"]["annotations"][LAST_GOOD] = json.dumps(obj["spec"])

    def unready(self, _releases):
        return {}

    def has_legacy(self, _namespaces):
        return False

    def uses(self, revision, _gateways):
        return self.used.get(revision, Uses())

    def control_planes(self):
        return {"default"}

    def refusal(self, item):
        return "forbidden" if item["name"] == self.refused else ""


class Playbooks:
    """The playbooks that were run, and their results."""

    def __init__(self) -> None:
        self.played: list[tuple[str, dict]] = []
        self.ends: list[PlayResult] = []

    def __call__(self, name, variables, files, _kubeconfig, _heartbeat, _cancel=None):
        self.played.append((name, {**variables, **files}))
        return self.ends.pop(0) if self.ends else played(NOTHING_DONE)

    def specs(self):
        return [given["control_plane_istio_operator"]["spec"] for name, given in self.played if name == "apply"]


def played(result, failure=""):
    return PlayResult(failure, results={CONTROL_PLANE: result, PURGE: result})
