# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in for OpenShift's API: definitions of Route, SecurityContextConstraints and Multus's networks."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind

CRD = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]
ROUTE = Kind("route.openshift.io", "v1", "Route", "routes", True)
CONSTRAINTS = Kind("security.openshift.io", "v1", "SecurityContextConstraints", "securitycontextconstraints", False)
NETWORK = Kind("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions", True)

_ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TARGET = {**_ANY, "required": ["kind", "name"], "properties": {"kind": {"enum": ["Service"], "type": "string"}}}
_TLS = {**_ANY, "properties": {"termination": {"enum": ["edge", "reencrypt", "passthrough"], "type": "string"}}}
_ROUTE = {**_ANY, "required": ["to"], "properties": {"to": _TARGET, "tls": _TLS}}
_SCHEMAS = {
    ROUTE: {**_ANY, "required": ["spec"], "properties": {"spec": _ROUTE}},
    CONSTRAINTS: {**_ANY, "required": ["allowPrivilegedContainer", "runAsUser", "seLinuxContext", "volumes"]},
    NETWORK: _ANY,
}


def definition(kind: Kind) -> dict:
    """The CustomResourceDefinition that stands in for a kind."""
    version = {"name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": _SCHEMAS[kind]}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "versions": [version],
        },
    }


DEFINITIONS = [definition(kind) for kind in _SCHEMAS]


def _constraints(name: str, privileged: bool) -> dict:
    anybody = {"type": "RunAsAny"}
    return {
        "apiVersion": CONSTRAINTS.api_version,
        "kind": CONSTRAINTS.kind,
        "metadata": {"name": name},
        "allowPrivilegedContainer": privileged,
        "runAsUser": anybody if privileged else {"type": "MustRunAsRange"},
        "seLinuxContext": anybody if privileged else {"type": "MustRunAs"},
        "volumes": ["*"] if privileged else ["configMap", "emptyDir", "projected", "secret"],
    }


#: Two of those that OpenShift has by itself.
OBJECTS = [_constraints("privileged", True), _constraints("restricted-v2", False)]
