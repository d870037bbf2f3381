# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's playbooks, run as they are against an API server that does not answer."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.meshops.istio.extensions.operator import playbook
from ansible_collections.meshops.istio.extensions.operator.supervision import CancelToken, Heartbeat

ROOT = pathlib.Path(__file__).parents[4]


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{ROOT}/.venv/bin:/usr/bin:/bin")
    path = tmp_path / "kubeconfig"
    cluster = {"name": "none", "cluster": {"server": "https://127.0.0.1:9"}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
    user = {"name": "none", "user": {}}
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "none"}
    path.write_text(yaml.safe_dump({**config, "clusters": [cluster], "contexts": [context], "users": [user]}))
    return str(path)


def remove(kubeconfig, cancel=None, **variables):
    given = {"operator_is_last": False, "operator_keep": [], "operator_revision": "", "operator_left_over": []}
    return playbook.run("remove", {**given, **variables}, {}, kubeconfig, Heartbeat(), cancel)


def test_a_result_is_found_by_the_modules_full_name(kubeconfig):
    document = {"kind": "IstioOperator", "metadata": {"name": "mesh"}, "spec": {"profile": "none-such"}}
    document["apiVersion"] = "install.istio.io/v1alpha1"
    variables = {"operator_left_over": [], "control_plane_take_ownership": False, "control_plane_wait_timeout": 5}
    files = {"control_plane_istio_operator": document}
    result = playbook.run("apply", variables, files, kubeconfig, Heartbeat())
    assert playbook.CONTROL_PLANE in result.results
    assert result.failure
    assert result.results[playbook.CONTROL_PLANE]["msg"] == result.failure


def test_what_an_object_holds_is_never_a_template(kubeconfig, tmp_path):
    """A component's name, namespace and revision stand in the status, which others may write too."""
    proof = tmp_path / "executed"
    text = "{{ lookup('ansible.builtin.pipe', 'touch " + str(proof) + "') }}"
    left_over = [{"name": text, "namespace": text, "state": "absent"}]
    result = remove(kubeconfig, operator_left_over=left_over, operator_keep=[text])
    assert result.failure
    assert result.results.keys() == {playbook.RELEASES}
    remove(kubeconfig, operator_revision=text)
    assert not proof.exists()


def test_a_cancelled_run_says_so(kubeconfig):
    cancel = CancelToken()
    cancel.cancel()
    assert remove(kubeconfig, cancel, operator_revision="canary").cancelled


TEXTS = ["{{ 1/0 }}", "{% raw %}", "!unsafe x", "a: b", "l1\nl2", "\x1b[31m", "'\"", "é", "#", "yes", "1.30", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_untrusted_texts_arrive_as_they_are(text, tmp_path):
    path = tmp_path / "variables.json"
    path.write_text(playbook.untrusted({"a": text, "b": [{"c": text}], "n": 1, "t": True}))
    assert DataLoader().load_from_file(str(path)) == {"a": text, "b": [{"c": text}], "n": 1, "t": True}


def test_the_last_result_of_a_module_counts():
    result = playbook.PlayResult()
    data = {"task": "any title", "task_action": "meshops.istio.purge", "resolved_action": "meshops.istio.purge"}
    result.event({"event": "runner_on_start", "event_data": data})
    result.event({"event": "runner_on_ok", "event_data": {**data, "res": {"changed": True, "diff": "long"}}})
    assert result.results == {"meshops.istio.purge": {"changed": True}}
    result.event({"event": "runner_on_failed", "event_data": {**data, "res": {"msg": "no"}}})
    assert (result.failure, result.results["meshops.istio.purge"]) == ("no", {"msg": "no"})
