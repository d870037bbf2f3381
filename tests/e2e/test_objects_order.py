# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Subsets are swapped under load, rule and routes in one task: no request meets a subset that isn't there."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml
from following import eventually

HOST = "swapped"


def service():
    """A name of its own for the demo's echo, so that the demo's routes have no say."""
    meta = {"name": HOST, "namespace": "demo"}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        # A pod whose probes are late, on a busy machine, is no matter of this story.
        "spec": {"selector": {"app": "echo"}, "ports": ports, "publishNotReadyAddresses": True},
    }


def routing(number, host=HOST):
    """All requests to one subset, under a name that no other number has. The route comes first, as users write it."""
    version, meta = f"v{number % 2 + 1}", {"name": host, "namespace": "demo"}
    subset = {"name": f"subset-{number}", "labels": {"version": version}}
    destination = {"host": host, "subset": subset["name"]}
    api = "networking.istio.io/v1"
    route = {"hosts": [host], "http": [{"route": [{"destination": destination}]}]}
    rule = {"host": host, "subsets": [subset]}
    return [
        {"apiVersion": api, "kind": "VirtualService", "metadata": meta, "spec": route},
        {"apiVersion": api, "kind": "DestinationRule", "metadata": meta, "spec": rule},
    ]


@pytest.fixture
def declare(mesh, tmp_path):
    """Runs mesh_objects on the demo's cluster, as a playbook."""

    def run(objects, **options):
        task = {"name": "Declare", "meshops.istio.mesh_objects": {"objects": objects, **options}}
        play = {"name": "Swap", "hosts": "all", "gather_facts": False, "tasks": [task]}
        path = tmp_path / "play.yml"
        path.write_text(yaml.safe_dump([play]))
        return mesh.play(str(path))

    yield run
    run([service(), *routing(0)], state="absent")


def test_swapping_subsets_fails_no_request(mesh, declare):
    declare([service(), *routing(0)])
    client = mesh.pods("demo", "app=client")[0]["metadata"]["name"]
    url = f"http://{HOST}.demo/"
    subprocess.run(
        ["kubectl", "exec", "-n", "demo", client, "-c", "client", "--", "probe", "load", "-duration", "5s", url],
        env=mesh.env, check=True, capture_output=True,
    )  # fmt: skip
    command = ["kubectl", "exec", "-i", "-n", "demo", client, "-c", "client", "--", "probe", "load",
               "-rate", "20", "-timeout", "30s", "-duration", "60s", url]  # fmt: skip
    load = subprocess.Popen(command, env=mesh.env, stdout=subprocess.PIPE, text=True)
    swaps = 0
    while load.poll() is None:
        swaps += 1
        declare(routing(swaps))
    lines = [json.loads(line) for line in load.stdout.read().splitlines()]
    assert [line for line in lines if "time" in line] == []
    assert swaps >= 3, "the load ended before anything was swapped"

    def versions():
        return json.loads(mesh.execute("demo", "app=client", "probe", "get", url, container="client"))["versions"]

    eventually(versions, {f"v{swaps % 2 + 1}": 1})
