# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.helm import holder, settled
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import HelmBusy
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import Stored

RELEASES = [Release("r", "c", "n")]


@pytest.fixture
def stored(monkeypatch):
    """Sets the records that are found, one list after the other; the last one stays."""
    monkeypatch.setattr(settled, "GRACE", 0.1)
    monkeypatch.setattr(settled, "_PAUSE", 0.01)

    def found(*lists):
        lists = list(lists)
        monkeypatch.setattr(
            settled, "stored_releases", lambda *_a: {("n", "r"): lists.pop(0) if len(lists) > 1 else lists[0]}
        )

    return found


def record(status="pending-upgrade", age=0, label=None, beat=""):
    labels = {holder.HOLDER_LABEL: label} if label else {}
    modified = int(time.time() - age)
    beats = {holder.HEARTBEAT: beat}
    return Stored("r", "n", 2, status, "", {}, "c", "1", "", {}, "csa", modified, labels, beats)


def test_settled_records_are_given_at_once(stored):
    stored([record("deployed")])
    assert settled.settled(None, RELEASES)[("n", "r")][0].status == "deployed"


def test_operation_that_ends_by_itself_is_awaited(stored):
    stored([record()], [record()], [record("deployed")])
    assert settled.settled(None, RELEASES)[("n", "r")][0].status == "deployed"


@pytest.mark.parametrize(("age", "timeout"), [(0, 0), (590, 0), (1000, 3600)])
def test_operation_of_another_helm_is_in_progress(stored, age, timeout):
    stored([record(age=age)])
    with pytest.raises(HelmBusy, match=r"another Helm operation is in progress \(pending-upgrade\)\. Wait .* stale"):
        settled.settled(None, RELEASES, timeout)


def test_operation_of_another_helm_is_stale_after_its_time(stored):
    stored([record(age=601)])
    assert settled.settled(None, RELEASES)


def test_killed_run_of_this_machine_is_recovered_at_once(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stored([record(label=holder.Holder(2, holder.machine(), "gone").label)])
    begin = time.monotonic()
    assert settled.settled(None, RELEASES)
    assert time.monotonic() - begin < 0.1


def test_run_of_another_machine_is_watched(stored, monkeypatch):
    monkeypatch.setattr(holder, "SILENCE", 0.1)
    label = holder.Holder(2, "0" * 12, "abc").label
    stored([record(label=label, beat="1")])
    begin = time.monotonic()
    assert settled.settled(None, RELEASES)
    assert time.monotonic() - begin >= 0.1
    stored(*([record(label=label, beat=str(n))] for n in range(1000)))
    with pytest.raises(HelmBusy, match="another run of this collection is working on it"):
        settled.settled(None, RELEASES)
