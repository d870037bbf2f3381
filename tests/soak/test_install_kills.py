# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Installations of the demo that are killed at random moments, each where no Istio was: a second run ends it."""

from __future__ import annotations

import subprocess
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_gone
from kills import Kills, helm_ls

SECRET, NAMESPACE = KNOWN["", "Secret"], KNOWN["", "Namespace"]
CRD = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]


def away(mesh) -> None:
    """Takes everything away, so that the next installation begins with nothing."""
    for secret in mesh.cluster.list(SECRET, labels="owner=helm,status=deployed"):
        name, namespace = secret["metadata"]["labels"]["name"], secret["metadata"]["namespace"]
        command = ["helm", "uninstall", name, "-n", namespace]
        subprocess.run(command, env=mesh.env, check=True, capture_output=True)
    gone = [one for one in mesh.cluster.list(CRD) if one["spec"]["group"].endswith(".istio.io")]
    for one in gone:
        mesh.cluster.delete(CRD, one["metadata"]["name"])
    for name in ("demo", "istio-system"):
        mesh.cluster.delete(NAMESPACE, name)
        gone.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    wait_gone(mesh.cluster, gone, 180)


def serves(mesh) -> None:
    """The gateway leads to a workload of the mesh."""
    end = time.monotonic() + 60
    while mesh.ingress()[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.timeout(7200)
def test_an_installation_that_was_killed_is_ended_by_the_next_run(own_mesh, tmp_path, note):
    mesh = own_mesh
    away(mesh)
    begun = time.monotonic()
    mesh.play("site")
    whole = time.monotonic() - begun
    kills = Kills(tmp_path, whole)
    while kills.left:
        away(mesh)
        killed = kills.begin_and_kill("site", [], mesh.env)
        begun = time.monotonic()
        mesh.play("site")
        took = time.monotonic() - begun
        assert helm_ls(mesh.env) == []
        serves(mesh)
        assert mesh.play("site").count("changed") == 0
        if killed:
            kills.converged("from nothing", took)
    note(
        "An installation that is killed",
        "After each kill -9 a plain second run ended the installation: an answer through the gateway, every release "
        f"shown as deployed by `helm ls`, and nothing changed by a third run. An undisturbed installation took "
        f"{whole:.0f} s; seed {kills.seed}.\n\n{kills.table()}",
    )
