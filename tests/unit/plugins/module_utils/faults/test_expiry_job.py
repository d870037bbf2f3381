# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.faults.expiry_job import guard_job


def job(**options):
    usual = {"routes": ["http/r"], "made": [], "limit": 1, "leave": [], "stays": [], "path": "/vs", "delete": False}
    return guard_job({"name": "echo", "namespace": "demo"}, 0, "proxy", **{**usual, "user": None, **options})


def test_the_job_never_gives_up():
    spec = job()["spec"]
    assert "activeDeadlineSeconds" not in spec and spec["backoffLimit"] > 10**6
