#!/usr/bin/env python3
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is left of Istio, and how long it takes: our purge, `istioctl uninstall --purge`, and `helm uninstall`.

The same mesh is installed anew for each of them, on one cluster of the lab, in one run:

    .venv/bin/python tests/bench/bench_purge.py [--name CLUSTER] [--rounds N]

Seconds are those until the tool has ended and no object or pod that it deletes is there any more.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from purge_story import Story, difference  # noqa: E402

POD = """
apiVersion: v1
kind: Pod
metadata: {name: bench-pod, namespace: shop, labels: {app: bench}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: IMAGE, imagePullPolicy: IfNotPresent, args: [wait]}]
"""
WRITES = {
    "a pod starts": POD,
    "a mesh object is written": """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: bench, namespace: shop}
spec: {}
""",
}


def lab(*words: str) -> str:
    return subprocess.run([ROOT / "tests/lab/lab", *words], stdout=subprocess.PIPE, text=True, check=True).stdout


def ours(story: Story, restart: bool = True) -> None:
    told = {"purge_confirm": True, "purge_restart_workloads": restart, "purge_backup_dir": tempfile.mkdtemp()}
    story.playbook("meshops.istio.purge", "-e", json.dumps(told))


def ours_without_restarts(story: Story) -> None:
    ours(story, restart=False)


def istioctl(story: Story) -> None:
    story.run("istioctl", "uninstall", "--purge", "-y")


def helm(story: Story) -> None:
    for name, namespace in (
        ("istio-ingress", "istio-ingress"),
        ("istiod", "istio-system"),
        ("istio-base", "istio-system"),
    ):
        story.run("helm", "uninstall", name, "-n", namespace)


def wait_until_gone(story: Story) -> None:
    """Until nothing of Istio's is on its way out, but not forever."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        pods = story.get("pods", "-A")["items"]
        objects = story.everything().values()
        going = [
            p for p in pods if p["metadata"]["namespace"].startswith("istio-") and "deletionTimestamp" in p["metadata"]
        ]
        going += [o for o in objects if "deletionTimestamp" in o["metadata"]]
        if not going:
            return
        time.sleep(0.5)


def measure(story: Story, before: dict, install: Callable[[Story], str], tool: Callable[[Story], None]) -> dict:
    """Installs, takes away, and looks at what is left; cleans up with our purge."""
    story.use_mesh(install(story))
    # Only ours takes off a finalizer that nobody answers; the others would wait for it forever.
    story.kubectl(
        "-n", "shop", "patch", "destinationrule", "echo", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    begun = time.monotonic()
    tool(story)
    wait_until_gone(story)
    seconds = time.monotonic() - begun
    left = [line for line in difference(before, story.everything()) if line.startswith("came: ")]
    row = {
        "tool": tool.__name__,
        "mesh": install.__name__.removeprefix("install_"),
        "seconds": round(seconds, 1),
        "objects left": len(left),
        "webhooks left": sum("WebhookConfiguration/" in line for line in left),
        "sidecars left": sum(
            "istio-proxy" in json.dumps(pod["spec"]) for pod in story.get("pods", "-n", "shop")["items"]
            if "deletionTimestamp" not in pod["metadata"]
        ),
    }  # fmt: skip
    has_api = "networking.istio.io" in story.kubectl("api-versions")
    for what, text in WRITES.items():
        if "Sidecar" in text and not has_api:
            row[what] = "no such API any more"
            continue
        manifest = text.replace("IMAGE", story.env["LAB_PROBE_IMAGE"])
        told = story.kubectl("apply", "-f", "-", stdin=manifest, check=False)
        if "bench-pod created" in told:
            told = story.kubectl(
                "-n", "shop", "wait", "--for=condition=Ready", "pod/bench-pod", "--timeout=60s", check=False
            )
        row[what] = (
            "yes" if "created" in told or "condition met" in told else "no: " + told.strip().splitlines()[-1][:120]
        )
    story.kubectl("-n", "shop", "delete", "pod", "bench-pod", "--ignore-not-found")
    ours(story)
    assert difference(before, story.everything()) == []
    return row


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--name", default="bench-purge", help="the lab's cluster; it is made where it isn't there")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--only", nargs="+", metavar="MESH/TOOL", help="such as istioctl/ours; all by default")
    chosen = options.parse_args()
    lab("up", "--name", chosen.name)
    lines = lab("env", "--name", chosen.name).splitlines()
    env = dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:])
    story = Story({**os.environ, **env})
    story.users_own()
    before = story.everything()
    rows = []
    for _round in range(chosen.rounds):
        for install, tools in (
            (Story.install_istioctl, (istioctl, ours, ours_without_restarts)),
            (Story.install_helm, (helm, istioctl, ours, ours_without_restarts)),
        ):
            for tool in tools:
                name = f"{install.__name__.removeprefix('install_')}/{tool.__name__}"
                if chosen.only and name not in chosen.only:
                    continue
                rows.append(measure(story, before, install, tool))
                print(json.dumps(rows[-1]), flush=True)
    print("\n| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
