# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules that take keys write to the system's log, in which every module tells how it was called."""

from __future__ import annotations

import base64
import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.meshops.istio.plugins.module_utils.ca.authority import CaSpec, generated
from ansible_collections.meshops.istio.plugins.module_utils.ca.observe import now
from ansible_collections.meshops.istio.plugins.modules import ca_rotation, mesh_objects

OWN = generated(CaSpec(), now())
FILES = {"ca_cert": OWN.certificate, "ca_key": OWN.key, "root_cert": OWN.roots}
KUBECONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": OWN.key.splitlines()[1]}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "cacerts", "namespace": "istio-system"},
    "data": {"ca-key.pem": base64.b64encode(OWN.key.encode()).decode()},
}


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (ca_rotation, {"action": "install", "source": "files", "files": FILES}),
        (ca_rotation, {"action": "rotate", "source": "files", "files": {**FILES, "ca_cert": "/none"}}),
        (ca_rotation, {"action": "renew", "root_key": OWN.key}),
        (ca_rotation, {"action": "status", "kubeconfig": KUBECONFIG}),
        (mesh_objects, {"objects": [SECRET]}),
    ],
)
@pytest.mark.parametrize("journal", [True, False])
def test_no_key_in_the_system_log(monkeypatch, capsys, module, arguments, journal):
    said = []
    monkeypatch.setattr(basic, "has_journal", journal)
    monkeypatch.setattr(
        basic, "journal", type("Journal", (), {"send": lambda *a, **k: said.append((a, k))}), raising=False
    )
    monkeypatch.setattr(basic.syslog, "syslog", lambda *words: said.append(words))
    host = {} if "kubeconfig" in arguments else {"host": "http://127.0.0.1:1"}
    with patch_module_args({**host, **arguments}), pytest.raises(SystemExit):
        module.main()
    seen = json.dumps(said, default=str) + capsys.readouterr().out
    keys = [line for line in OWN.key.splitlines() if "KEY" not in line] + [SECRET["data"]["ca-key.pem"]]
    assert [key for key in keys if key in seen] == []
