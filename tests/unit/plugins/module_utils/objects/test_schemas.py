# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which schemas are read, and when."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.objects.schemas import server_schemas
from fakes.api_server import ApiServer
from fakes.objects import obj


def document(group, version, kind, properties):
    node = {
        "properties": properties,
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
    }
    return {"components": {"schemas": {kind: node}}}


def test_the_kinds_of_istio_without_defaults_cost_no_request():
    server = ApiServer()
    schema = server_schemas(server)(obj("VirtualService", "a"))
    assert schema.child("spec").child("http").item().default is None
    assert schema.child("spec").list_type == "atomic"
    assert server.requests == []


def test_a_document_is_read_once_for_all_its_kinds():
    entry = obj("ServiceEntry", "a")
    server = ApiServer(
        documents={
            entry["apiVersion"]: document("networking.istio.io", "v1", "ServiceEntry", {"spec": {"type": "object"}})
        }
    )
    schemas = server_schemas(server)
    assert schemas(entry).child("spec").type == "object"
    assert schemas(entry).fields == ["spec"]
    assert len(server.requests) == 1


def test_a_kind_that_the_server_describes_nowhere_has_no_schema():
    assert server_schemas(ApiServer())({"apiVersion": "example.com/v1", "kind": "Thing"}) is None
