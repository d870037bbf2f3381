# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every mesh object in Istio's own samples can be applied, and is unchanged after that."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.objects.kinds import MESH_GROUPS
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.documents import DocumentError, parse


@pytest.fixture(scope="session")
def samples(api_server) -> dict[str, list[dict]]:
    """File -> its mesh objects, for the files that have some."""
    folder = pathlib.Path(api_server["LAB_ISTIO_SOURCE"]) / "samples"
    found = {}
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        text = path.read_text(encoding="utf-8")
        try:
            documents = parse(text, str(path.relative_to(folder)))
        except DocumentError:  # values of charts, templates, IstioOperators without a name
            assert not any(f"apiVersion: {group}/" in text for group in MESH_GROUPS), path
            continue
        objects = [d.obj for d in documents if d.obj["apiVersion"].split("/")[0] in MESH_GROUPS]
        if objects:
            found[str(path.relative_to(folder))] = objects
    return found


def test_samples_apply_and_then_are_unchanged(samples, reconcile, cluster, namespace):
    assert len(samples) > 40
    for file, objects in samples.items():
        distinct = {(o["kind"], o["metadata"]["name"]): o for o in objects}
        wanted = [{**o, "metadata": {**o["metadata"], "namespace": namespace}} for o in distinct.values()]
        first = reconcile(wanted)
        assert first["summary"]["failed"] == 0, file
        second = reconcile(wanted)
        assert not second["changed"], (file, second["diff"])
        reconcile(wanted, state="absent")


def test_samples_declared_all_at_once(samples, reconcile, namespace):
    wanted = {}
    for objects in samples.values():
        for obj in objects:
            wanted[obj["apiVersion"], obj["kind"], obj["metadata"]["name"]] = obj
    everything = [{**o, "metadata": {**o["metadata"], "namespace": namespace}} for o in wanted.values()]
    reconcile(everything, owner=namespace)
    assert not reconcile(everything, owner=namespace, prune=True)["changed"]
    gone = reconcile([], owner=namespace, prune=True, prune_all=True)
    assert gone["summary"]["deleted"] == len(everything)
