# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects as they are after this collection applied them."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

US = "meshops.istio"


def virtual_service(name="reviews", labels=None, **spec):
    meta = {"name": name, "namespace": "shop"}
    if labels:
        meta["labels"] = labels
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}


def tree(value):
    """The FieldsV1 tree of an Istio object's part: granular objects, atomic lists."""
    if isinstance(value, dict):
        return {f"f:{k}": tree(v) for k, v in value.items()}
    return {}


def live(obj, manager=US, **more):
    """An object as the server has it after we applied it."""
    found = copy.deepcopy(obj)
    owned = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
    fields = tree(owned)
    if "labels" in obj["metadata"]:
        fields["f:metadata"] = {"f:labels": tree(obj["metadata"]["labels"])}
    found["metadata"].update(
        uid="1",
        resourceVersion="7",
        managedFields=[{"manager": manager, "operation": "Apply", "apiVersion": obj["apiVersion"], "fieldsV1": fields}],
        **more,
    )
    return found


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "b"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)
SPECS = st.dictionaries(st.sampled_from(["hosts", "http", "tcp"]), VALUES, max_size=3)


def built_in(api_version, kind, **parts):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "shop"}, **parts}


def policy(**peer):
    spec = {"podSelector": {}, "ingress": [{"from": [peer]}]}
    return built_in("networking.k8s.io/v1", "NetworkPolicy", spec=spec)
