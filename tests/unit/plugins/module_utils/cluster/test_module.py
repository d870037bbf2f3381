# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module shows of its options, also where it never gets as far as its work."""

from __future__ import annotations

import gc
import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args
from ansible_collections.meshops.istio.plugins.modules import ca_rotation, mesh_objects, virtual_service

SECRET = "tell-nobody"
OBJECT = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"key": SECRET}}
KUBECONFIG = {"apiVersion": "v1", "users": [{"name": "me", "user": {"token": SECRET}}]}


@pytest.fixture
def run(capsys):
    """Runs a module and gives all that it wrote, and its result."""

    def run(module, options):
        given = json.loads(json.dumps(options))
        if "inject_invocation" in PASS_VARS:  # as with -vvv, in ansible-core 2.21 and newer
            given["_ansible_inject_invocation"] = True
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        output = capsys.readouterr()
        return output.out + output.err, json.loads(output.out)

    yield run
    gc.enable()  # mesh_objects does without


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (mesh_objects, {"objects": [OBJECT], "prun": True}, "Unsupported parameters"),
        (mesh_objects, {"object": [OBJECT]}, "Unsupported parameters"),
        (mesh_objects, {"objects": [OBJECT], "wait_timeout": "soon"}, "wait_timeout"),
        (mesh_objects, {"objects": [OBJECT, [SECRET]]}, "objects"),
        (mesh_objects, {"objects": [SECRET]}, "objects"),
        (mesh_objects, {"kubeconfig": KUBECONFIG, "prun": True}, "Unsupported parameters"),
        (mesh_objects, {"kubeconfig": KUBECONFIG}, "kubeconfig"),
        (virtual_service, {"name": "a", "kubeconfig": KUBECONFIG, "host": "x", "labels": 5}, "labels"),
        (virtual_service, {"name": "a", "kubeconfig": KUBECONFIG}, "kubeconfig"),
        (ca_rotation, {"action": "status", "root_key": SECRET, "fils": {}}, "Unsupported parameters"),
    ],
)
def test_a_failure_shows_no_secret(module, options, message, run, monkeypatch):
    logged = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _self, *words, **more: logged.append((words, more)))
    written, result = run(module, options)
    assert message in result["msg"]
    assert SECRET not in written + repr(logged)
    shown = set(options) - {"objects", "kubeconfig", "root_key", "object", "prun", "fils"}
    assert shown <= set(result["invocation"]["module_args"])


def test_what_a_kubeconfig_holds_beside_its_secrets_may_be_shown(run, monkeypatch):
    def work(module, cluster):
        return {"changed": False, "told": f"apiVersion v1, user me, token {SECRET}"}

    monkeypatch.setattr("ansible_collections.meshops.istio.plugins.modules.mesh_objects.run", work)
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "me"}}],
        "current-context": "c",
    }
    written, result = run(mesh_objects, {"objects": [OBJECT], "kubeconfig": {**KUBECONFIG, **config}})
    assert result["told"].startswith("apiVersion v1, user me, token ***")
    assert SECRET not in written
    assert not {"objects", "kubeconfig"} & set(result["invocation"]["module_args"])


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (virtual_service, {"name": "a", "host": ["reviews"]}, "Did you mean the option hosts?"),
        (virtual_service, {"name": "a", "host": "reviews"}, "Did you mean the option hosts?"),
        (mesh_objects, {"host": "10.0.0.1"}, "host is the URL of the API server, such as https://10.0.0.1:6443."),
    ],
)
def test_a_host_that_is_no_url_is_refused_at_once(module, options, message, run):
    _written, result = run(module, options)
    assert message in result["msg"]
