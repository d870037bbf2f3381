# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time, also where another one was killed."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import lock
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import CannotRotate, Reason
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError


class Leases:
    """The Lease of an API server, with its optimistic locking."""

    def __init__(self, holder=None, namespace=True):
        self.version, self.namespace = 1, namespace
        self.spec = {"holderIdentity": holder} if holder is not None else None
        self.renewing = False

    def get(self, *_words):
        if self.renewing:
            self.version += 1
        meta = {"resourceVersion": str(self.version), "uid": "u"}
        return {"metadata": meta, "spec": dict(self.spec)} if self.spec is not None else None

    def create(self, obj):
        if not self.namespace:
            raise ApiError("namespaces not found", status=404)
        if self.spec is not None:
            raise ApiError("exists", status=409)
        self.spec = dict(obj["spec"])

    def patch(self, _kind, _name, patch, _namespace):
        if patch["metadata"]["resourceVersion"] != str(self.version):
            raise ApiError("conflict", status=409)
        self.version += 1
        self.spec.update(patch["spec"])

    def delete(self, _kind, _name, _namespace, uid):
        assert uid == "u"
        self.spec = None


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    for name, value in {"_POLL": 0.01, "EXPIRES": 0.05, "_PATIENCE": 0.2, "_RENEW": 0.02}.items():
        monkeypatch.setattr(lock, name, value)


def held(cluster, orphaned=lambda: False):
    return lock.Lock(cluster, "istio-system", orphaned)


def test_lock_is_released_also_after_a_failure():
    cluster = Leases()

    def fail():
        with held(cluster) as mine:
            assert cluster.spec["holderIdentity"] == mine.holder
            mine.check()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert cluster.spec is None


def test_lock_of_a_run_that_renews_is_refused():
    cluster = Leases("other/1/x")
    cluster.renewing = True
    with pytest.raises(CannotRotate, match="other/1/x") as caught, held(cluster):
        pass
    assert caught.value.reasons == (Reason.ANOTHER_RUN,)
    assert cluster.spec == {"holderIdentity": "other/1/x"}


def test_lock_of_a_killed_run_is_taken_over():
    cluster = Leases("dead/1/x")
    with held(cluster) as mine:
        assert cluster.spec["holderIdentity"] == mine.holder


def test_lock_that_another_run_has_taken_over_stops_the_first():
    cluster = Leases()
    with held(cluster) as mine:
        cluster.spec["holderIdentity"] = "other"
        mine._thread.join(1)
        with pytest.raises(CannotRotate, match="another run has taken over"):
            mine.check()
    assert cluster.spec == {**cluster.spec, "holderIdentity": "other"}


def test_lock_of_an_orphan_is_given_up():
    cluster, orphaned = Leases(), []
    with held(cluster, lambda: bool(orphaned)) as mine:
        mine.check()
        orphaned.append(True)
        with pytest.raises(CannotRotate) as caught:
            mine.check()
    assert caught.value.reasons == (Reason.GIVEN_WAY,)
    assert cluster.spec is None


def test_lock_is_not_needed_where_the_namespace_is_not_there_yet():
    with held(Leases(namespace=False)) as mine:
        mine.check()


class Processes:
    def __init__(self, root):
        self.root = root

    def add(self, pid, parent, words, started="1", state="S"):
        folder = self.root / str(pid)
        folder.mkdir()
        rest = " ".join(["0"] * 17)
        (folder / "stat").write_text(f"{pid} (a name) with ) {state} {parent} {rest} {started} 0")
        (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in words))

    def remove(self, pid):
        for file in (self.root / str(pid)).iterdir():
            file.unlink()
        (self.root / str(pid)).rmdir()


@pytest.fixture
def processes(tmp_path):
    found = Processes(tmp_path)
    found.add(10, 1, ["bash", "-c", "ansible-playbook x.yml &"])
    found.add(20, 10, ["/venv/bin/python", "/venv/bin/ansible-playbook", "x.yml"])
    found.add(30, 20, ["/venv/bin/python", "/venv/bin/ansible-playbook", "x.yml"])
    found.add(40, 30, ["/bin/sh", "-c", "python AnsiballZ_ca_rotation.py"])
    found.add(50, 40, ["python", "AnsiballZ_ca_rotation.py"])
    return found


def test_ancestors_miss_a_playbook_that_was_killed(processes):
    ancestors = lock.Ancestors(50, str(processes.root))
    assert not ancestors.gone()
    processes.remove(20)
    assert ancestors.gone()


def test_ancestors_tell_a_new_process_of_the_same_number(processes):
    ancestors = lock.Ancestors(50, str(processes.root))
    processes.remove(20)
    processes.add(20, 1, ["ansible-playbook"], started="2")
    assert ancestors.gone()


def test_ancestors_do_not_miss_the_shell_that_started_the_playbook(processes):
    ancestors = lock.Ancestors(50, str(processes.root))
    processes.remove(10)
    assert not ancestors.gone()


def test_ancestors_without_proc_miss_nobody(tmp_path):
    assert not lock.Ancestors(50, str(tmp_path / "none")).gone()
