# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import base64
import gzip
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import (
    RecordError,
    decode,
    encoded,
    kept_in_config_maps,
    record_name,
)


def secret(content, compressed=True, **labels):
    blob = content if isinstance(content, bytes) else json.dumps(content).encode()
    blob = base64.b64encode(gzip.compress(blob) if compressed else blob)
    meta = {"name": "sh.helm.release.v1.r.v3", "namespace": "n", "labels": {"name": "r", **labels}}
    return {"metadata": meta, "data": {"release": base64.b64encode(blob).decode()}}


CONTENT = {
    "name": "r",
    "version": 3,
    "info": {"status": "deployed", "description": "Upgrade complete"},
    "chart": {"metadata": {"name": "mine", "version": "1.2.3", "home": "https://istio.io"}},
    "config": {"a": 1},
    "manifest": "kind: X",
    "apply_method": "ssa",
    "hooks": [{"name": "h", "kind": "Job", "manifest": "kind: Job"}],
}


@pytest.mark.parametrize("compressed", [True, False])
def test_record_is_decoded(compressed):
    record = decode(secret(CONTENT, compressed, createdAt="100", modifiedAt="200"))
    assert (record.id, record.revision, record.status) == (("n", "r"), 3, "deployed")
    assert (record.chart, record.version, record.values, record.manifest) == ("mine", "1.2.3", {"a": 1}, "kind: X")
    assert (record.apply_method, record.modified, record.record) == ("ssa", 200, record_name("r", 3))
    assert record.metadata["home"] == "https://istio.io"
    assert [hook["kind"] for hook in record.hooks] == ["Job"]


@pytest.mark.parametrize("content", [b"not json", [1], {"version": 1}, {"name": "r", "version": "x"}])
def test_record_that_cannot_be_read_is_named(content):
    with pytest.raises(RecordError, match=r"^Secret n/sh\.helm\.release\.v1\.r\.v3 cannot be read as a Helm release"):
        decode(secret(content))


@pytest.mark.parametrize("data", [None, {}, {"release": "%"}, {"release": "aGVsbG8="}])
def test_secret_without_a_record_is_named(data):
    with pytest.raises(RecordError):
        decode({**secret(CONTENT), "data": data})


def test_record_fields_of_the_wrong_type_are_empty():
    record = decode(secret({"name": "r", "info": [], "chart": "x", "config": 7, "hooks": ["x"]}))
    assert (record.status, record.package, record.values, record.hooks) == ("", {}, {}, [])


def test_record_with_another_manifest_keeps_the_rest():
    other = secret(CONTENT)
    other["data"]["release"] = encoded(other, "kind: Y")
    record = decode(other)
    assert (record.manifest, record.values, record.revision) == ("kind: Y", {"a": 1}, 3)


def test_releases_in_config_maps_are_found():
    class Cluster:
        def list(self, kind, namespace, labels):
            return [{}] if (kind.kind, namespace) == ("ConfigMap", "a") and "name=x," in labels else []

    assert kept_in_config_maps(Cluster(), [("a", "x"), ("b", "x"), ("a", "y")]) == [("a", "x")]
