# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report on a running mesh, and the bundle for those who help."""

from __future__ import annotations

import base64
import stat
import tarfile

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN


def test_the_report_shows_every_proxy(mesh, tmp_path):
    mesh.play("report", "-e", f"report_dir={tmp_path}")
    (page,) = tmp_path.glob("*.html")
    text = page.read_text("utf-8")
    pods = mesh.pods("istio-system", "istio=ingressgateway") + mesh.pods("demo", "app=echo")
    assert len(pods) > 1
    assert all(pod["metadata"]["name"] in text for pod in pods)
    assert mesh.env["LAB_TAG"] in text


def test_the_bundle_holds_logs_and_objects_and_no_key(mesh, tmp_path):
    mesh.play("bundle", "-e", f"bundle_dir={tmp_path}", "-e", "bundle_log_lines=100")
    (archive,) = tmp_path.glob("*.tar.gz")
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with tarfile.open(archive) as files:
        texts = {name.partition("/")[2]: files.extractfile(name).read().decode() for name in files.getnames()}
    assert any(name.startswith("logs/istio-system/istiod") and text for name, text in texts.items())
    assert any(name.startswith("logs/demo/echo") and name.endswith("istio-proxy.log") for name in texts)
    assert "kind: VirtualService" in texts["objects/VirtualService.networking.istio.io.yaml"]

    secrets = [
        secret
        for name in ("cacerts", "istio-ca-secret")
        if (secret := mesh.cluster.get(KNOWN["", "Secret"], name, "istio-system"))
    ]
    keys = [
        value
        for secret in secrets
        for name, value in secret["data"].items()
        if value and name.endswith(("key.pem", "tls.key"))
    ]
    assert keys
    for key in keys:
        lines = base64.b64decode(key).decode().splitlines()
        for name, text in texts.items():
            assert key not in text, name
            assert not any(line in text for line in lines[1:-1]), name
