# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every playbook ends with a summary in words, also in check mode and without -v."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[3]
PLAYBOOKS = ROOT / "playbooks"
SUMMARIES = ("Show the summary", "Show the written files", "Show the path of the bundle", "Show findings")

RELEASES = [
    {"name": "istiod", "namespace": "istio-system", "action": "install", "reasons": ["it is not installed"]},
]
RESTARTED = [{"kind": "Deployment", "namespace": "shop", "name": "cart", "reason": "pod cart-1 has no sidecar"}]
UNUSED = [{"name": "istiod-old", "namespace": "istio-system", "state": "absent"}]
#: What the tasks before the summary leave in variables, for each playbook, and what the summary of a run says of it.
CASES = {
    "site": (
        {
            "control_plane_result": {"releases": RELEASES},
            "injection_result": {"namespaces": [], "restarted": RESTARTED},
            "site_mesh": {"control_planes": [], "gateways": [], "findings": []},
        },
        ["nstall", "istio-system/istiod", "Deployment shop/cart: pod cart-1 has no sidecar"],
    ),
    "adopt": (
        {
            "adopt_result": {"releases": RELEASES, "restarted": ["Deployment a/b"], "removed": ["Role a/c"]},
            "adopt_mesh": {"failed": True, "msg": "Forbidden"},
        },
        ["emove", "Role a/c", "the pods of Deployment a/b"],
    ),
    "upgrade": (
        {
            "control_plane_result": {"releases": RELEASES, "revision": "new"},
            "gateways_result": {"releases": []},
            "injection_result": {},
            "upgrade_checked": {"version": "1.31.0"},
            "upgrade_result": {
                "restarted": RESTARTED, "proxies": 3, "unused_releases": UNUSED,
                "revisions": [{"revision": "other", "used_by": ["x"]}],
            },
            "upgrade_mesh": {},
        },
        ["Istio 1.31.0, revision new: 1 workloads", "Removed revisions: istiod-old", "still in use: other"],
    ),
    "rotate_ca": (
        {
            "ca_result": {
                "phases": [{"phase": "trust", "words": "trust root B beside A"}],
                "restarted": ["Deployment a/b"],
            }
        },
        ["Trust: trust root B beside A", "Restarted Deployment a/b"],
    ),
    "purge": (
        {
            "purge_result": {
                "summary": {"Deployment": 2}, "notes": ["a note"], "proof": ["the footprint is empty"],
                "backup": ["/b/all.yaml", "/b/restore.yml"], "diff": {"before": "a plan\nof two lines"},
            }
        },
        ["elete", "2 Deployment", "a note", "ansible-playbook /b/restore.yml"],
    ),
    "render": (
        {"render_result": {"files": ["a.yaml", "b.yaml"], "changed": True}, "render_dir": "/tmp/out"},
        ["2 files", "/tmp/out", "a.yaml, b.yaml"],
    ),
    "fault_test": (
        {
            "fault_injection_results": [{"name": "delay"}, {"name": "abort"}],
            "fault_injection_host": "echo",
            "fault_injection_report": "faults.html",
        },
        ["echo with: delay, abort"],
    ),
}  # fmt: skip
OF_A_RUN = {
    "site": ["Installed release istio-system/istiod"],
    "adopt": ["Next: site.yml keeps"],
    "purge": ["Deleted: 2 Deployment"],
    "fault_test": ["All as expected", "/faults.html"],
    "render": ["written to"],
}
OF_CHECK_MODE = {
    "site": ["Will install release", "Next: run without --check"],
    "upgrade": ["workloads will be restarted"],
    "rotate_ca": ["Next: run without --check"],
    "purge": ["Will delete: 2 Deployment", "of two lines", "purge_confirm=true"],
    "fault_test": ["Will test"],
    "render": ["would be written to"],
}


def tasks(playbook):
    return [
        task for play in yaml.safe_load((PLAYBOOKS / f"{playbook}.yml").read_text()) for task in play.get("tasks", ())
    ]


@pytest.mark.parametrize("playbook", sorted(p.stem for p in PLAYBOOKS.glob("*.yml") if p.stem != "check_hosts"))
def test_every_playbook_ends_with_a_summary(playbook):
    last = tasks(playbook)[-1]
    assert last["name"].startswith(SUMMARIES)
    assert "ansible.builtin.debug" in last
    assert "verbosity" not in last["ansible.builtin.debug"]


@pytest.fixture(scope="module", params=["run", "check mode"])
def shown(request, tmp_path_factory):
    """What all summaries print, in one run of Ansible, by playbook."""
    plays = [
        {
            "name": f"of-{playbook}",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": variables,
            "tasks": [tasks(playbook)[-1]],
        }
        for playbook, (variables, _words) in CASES.items()
    ]
    path = tmp_path_factory.mktemp("summaries") / "summaries.yml"
    path.write_text(yaml.safe_dump(plays, sort_keys=False))
    command = [ROOT / ".venv/bin/ansible-playbook", "-i", "localhost,", "-c", "local", path]
    env = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1"}
    check = ["--check"] if request.param == "check mode" else []
    done = subprocess.run([*command, *check], env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = done.stdout.split("PLAY [of-")[1:]
    return request.param, {part.partition("]")[0]: part for part in parts}


@pytest.mark.parametrize("playbook", CASES)
def test_the_summary_says_what_happened(shown, playbook):
    mode, printed = shown
    more = OF_A_RUN if mode == "run" else OF_CHECK_MODE
    for words in [*CASES[playbook][1], *more.get(playbook, [])]:
        assert words in printed[playbook]
