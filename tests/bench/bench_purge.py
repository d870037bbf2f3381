#!/usr/bin/env python3
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is left of Istio, and how long it takes: our purge, `istioctl uninstall --purge`, and `helm uninstall`.

The same mesh is installed anew for each of them, on one cluster of the lab, in one run:

    .venv/bin/python tests/bench/bench_purge.py [--name CLUSTER] [--rounds N] [--out docs/benchmarks/purge.md]

Seconds are those until the tool has ended and no object or pod that it deletes is there any more. `ours` also restarts
the workloads one after the other; `ours_without_restarts` does what the others do, Istio's namespaces and the proof;
`ours_as_others_do` leaves the namespaces, as the others do. All of ours back up first. `istioctl_by_hand` and
`helm_by_hand` do what ours does: after the tool, the commands by which a user takes away what it leaves.
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


def ours(story: Story, restart: bool = True, keep: tuple[str, ...] = ()) -> None:
    told = {"purge_confirm": True, "purge_restart_workloads": restart, "purge_backup_dir": tempfile.mkdtemp()}
    told["purge_keep"] = list(keep)
    story.playbook("meshops.istio.purge", "-e", json.dumps(told))


def ours_without_restarts(story: Story) -> None:
    ours(story, restart=False)


def ours_as_others_do(story: Story) -> None:
    ours(story, restart=False, keep=("namespaces",))


def istioctl(story: Story) -> None:
    story.run("istioctl", "uninstall", "--purge", "-y")


def helm(story: Story) -> None:
    """As Istio's documentation has it: gateways first, the definitions' chart last."""
    order = ("gateway", "istiod", "cni", "base")
    found = [(order.index(chart), name, namespace) for name, namespace, chart in releases(story) if chart in order]
    for _place, name, namespace in sorted(found):
        story.run("helm", "uninstall", name, "-n", namespace)


def releases(story: Story) -> list[tuple[str, str, str]]:
    """Name, namespace and chart of every release."""
    listed = json.loads(story.run("helm", "list", "-A", "-o", "json"))
    return [(each["name"], each["namespace"], each["chart"].rpartition("-")[0]) for each in listed]


def by_hand(story: Story) -> None:
    """What Istio's documentation has its users do after either, and the restarts, one after the other."""
    story.kubectl("label", "namespace", "shop", "istio-injection-")
    for name in ("client", "echo-v1", "echo-v2"):
        story.kubectl("-n", "shop", "rollout", "restart", f"deployment/{name}")
        story.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=300s")
    definitions = [name for name in story.kubectl("get", "crd", "-o", "name").split() if "istio.io" in name]
    if definitions:
        story.kubectl("delete", *definitions)
    story.kubectl("delete", "configmap", "--all-namespaces", "-l", "istio.io/config=true")
    story.kubectl("delete", "namespace", "istio-system", "istio-ingress", "--ignore-not-found")


def istioctl_by_hand(story: Story) -> None:
    istioctl(story)
    by_hand(story)


def helm_by_hand(story: Story) -> None:
    helm(story)
    by_hand(story)


def wait_until_gone(story: Story) -> float:
    """Waits until nothing of Istio's is on its way out, but not forever; gives the moment it was seen gone."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        moment = time.monotonic()
        ends = _going(story.get("pods,replicasets,deployments,daemonsets,statefulsets,namespaces", "-A")["items"])
        if not ends and not [o for o in story.everything().values() if "deletionTimestamp" in o["metadata"]]:
            return moment
        time.sleep(0.2)
    return time.monotonic()


def _going(objects: list[dict]) -> bool:
    """Whether anything of Istio's namespaces is on its way out, or has lost its owner and so will be."""
    mine = [o for o in objects if (o["metadata"].get("namespace") or o["metadata"]["name"]).startswith("istio-")]
    uids = {o["metadata"]["uid"] for o in mine}
    return any(
        "deletionTimestamp" in o["metadata"]
        or not {owner["uid"] for owner in o["metadata"].get("ownerReferences", [])} <= uids
        for o in mine
    )


def measure(story: Story, before: dict, install: Callable[[Story], str], tool: Callable[[Story], None]) -> dict:
    """Installs, takes away, and looks at what is left; cleans up with our purge."""
    story.use_mesh(install(story))
    # Only ours takes off a finalizer that nobody answers; the others would wait for it forever.
    story.kubectl(
        "-n", "shop", "patch", "destinationrule", "echo", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    begun = time.monotonic()
    tool(story)
    seconds = wait_until_gone(story) - begun
    LOADS.append(os.getloadavg()[0])
    left = [line for line in difference(before, story.everything()) if line.startswith("came: ")]
    row = {
        "mesh installed by": MESHES[install.__name__],
        "removed by": TOOLS[tool.__name__],
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
    if tool is not ours:
        ours(story)
    assert difference(before, story.everything()) == []
    return row


#: The machine's load in the minute in which a tool ran, for each row.
LOADS: list[float] = []
MESHES = {
    "install_istioctl": "istioctl, profile demo",
    "install_helm": "Helm",
    "install_site": "site.yml",
    "install_revisions": "Helm, two revisions with tags",
    "install_cni": "Helm, with the CNI",
}
#: What each mesh is taken away by.
ROWS: tuple[tuple[Callable[[Story], str], tuple[Callable[[Story], None], ...]], ...] = (
    (Story.install_istioctl, (istioctl, ours_as_others_do, ours_without_restarts, istioctl_by_hand, ours)),
    (Story.install_helm, (istioctl, helm, ours_as_others_do, ours_without_restarts, helm_by_hand, ours)),
    *((install, (istioctl, helm, ours_as_others_do, ours))
      for install in (Story.install_site, Story.install_revisions, Story.install_cni)),
)  # fmt: skip
TOOLS = {
    "helm": "`helm uninstall`",
    "helm_by_hand": "`helm uninstall`, and the rest by hand",
    "istioctl": "`istioctl uninstall --purge`",
    "istioctl_by_hand": "`istioctl uninstall --purge`, and the rest by hand",
    "ours": "`purge`",
    "ours_without_restarts": "`purge`, without restarts",
    "ours_as_others_do": "`purge`, without restarts, namespaces kept",
}


def page(rows: list[dict]) -> str:
    """docs/benchmarks/purge.md."""
    lines = [
        "# Benchmark: taking Istio out of a cluster",
        "",
        "Written by `tests/bench/purge/run`, which installs the same mesh again for each tool, on one cluster, in one",
        "run: Istio 1.31, one kind node, three workloads with sidecars, gateways, and some objects of a user.",
        "Seconds are those until the tool has ended and nothing that it deletes is there any more, Ansible's own start",
        "included. What is left is found by an audit that lists every object of every kind before and after.",
        "",
        f"Seen on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores that node, tool and audit share, whose load was"
        f" {min(LOADS):.0f} to {max(LOADS):.0f} in the minute before a tool ended.",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
        *("| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows),
        "",
        "Every `purge` writes a backup first, and starts a pod at the end as a proof. By itself it also restarts the",
        "workloads, one after the other, each when the one before is ready again, and takes away Istio's namespaces,",
        "which Kubernetes itself lets wait for five seconds. `purge_restart_workloads: false` and",
        "`purge_keep: [namespaces]` leave these to you, as the others do. The rest by hand: `kubectl` takes off the",
        "label, restarts the workloads one after the other, and deletes Istio's definitions, root ConfigMaps and",
        "namespaces.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--name", default="bench-purge", help="the lab's cluster; it is made where it isn't there")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--only", nargs="+", metavar="MESH/TOOL", help="such as istioctl/ours, and no page")
    options.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/purge.md")
    chosen = options.parse_args()
    lab("up", "--name", chosen.name)
    lines = lab("env", "--name", chosen.name).splitlines()
    env = dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:])
    story = Story({**os.environ, **env})
    ours(story)  # what may be there from before
    story.users_own()
    before = story.everything()
    rows = []
    for _round in range(chosen.rounds):
        for install, tools in ROWS:
            for tool in tools:
                name = f"{install.__name__.removeprefix('install_')}/{tool.__name__}"
                if chosen.only and name not in chosen.only:
                    continue
                rows.append(measure(story, before, install, tool))
                print(json.dumps(rows[-1]), flush=True)
                if not chosen.only:
                    chosen.out.write_text(page(rows))
    print(page(rows))


if __name__ == "__main__":
    main()
