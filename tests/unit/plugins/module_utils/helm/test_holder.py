# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import subprocess
import sys
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.helm import holder
from ansible_collections.meshops.istio.plugins.module_utils.helm.holder import (
    HEARTBEAT,
    HOLDER_LABEL,
    SILENCE,
    Heartbeat,
    Holder,
    State,
    holder_of,
    state_of,
    watch,
)
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import Stored


def record(revision=2, label=None, beat=""):
    labels = {HOLDER_LABEL: label} if label else {}
    annotations = {HEARTBEAT: beat} if beat else {}
    return Stored("r", "n", revision, "pending-upgrade", "", {}, "c", "1", "", {}, "csa", 0, labels, annotations)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's folder, and the label of its records."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / (holder.PREFIX + "abc")
    folder.mkdir()
    return folder, Holder(2, holder.machine(), "abc").label


def test_label_that_helm_copied_to_the_next_revision_is_foreign():
    label = Holder(2, "0123456789ab", "abc").label
    assert holder_of(record(2, label)) == Holder(2, "0123456789ab", "abc")
    assert holder_of(record(3, label)) is None
    assert state_of(record(3, label)) is State.FOREIGN
    assert state_of(record(2)) is State.FOREIGN
    assert state_of(record(2, "x; rm")) is State.FOREIGN
    assert state_of(record(2, label)) is State.ELSEWHERE


def test_run_on_this_machine_is_alive_while_a_helm_of_it_works(run):
    folder, label = run
    assert state_of(record(2, label)) is State.DEAD  # killed before it locked its folder
    descriptor = holder.lock(folder)
    assert state_of(record(2, label)) is State.ALIVE
    helm = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    holder.os.close(descriptor)  # the run was killed, and its helm works on
    assert state_of(record(2, label)) is State.ALIVE
    helm.communicate(b"\n")
    assert state_of(record(2, label)) is State.DEAD
    assert state_of(record(2, Holder(2, holder.machine(), "gone").label)) is State.DEAD


def test_heartbeat_changes_the_record_until_helm_has_ended():
    class Cluster:
        beats = []

        def patch(self, _kind, name, patch, namespace):
            self.beats.append((namespace, name, patch["metadata"]["annotations"][HEARTBEAT]))
            if len(self.beats) == 1:
                raise ApiError("not yet", 404)

    with Heartbeat(Cluster(), "n", "v2", interval=0.01):
        deadline = time.monotonic() + 5
        while len(Cluster.beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [beat for _n, _r, beat in Cluster.beats[:3]] == ["1", "2", "3"]
    count = len(Cluster.beats)
    time.sleep(0.05)
    assert len(Cluster.beats) == count


def test_run_elsewhere_is_alive_while_its_heartbeat_changes():
    watching = watch(record(), 100)
    assert watching.look(record(), 101) is State.ELSEWHERE
    assert watching.look(record(beat="1"), 105) is State.ALIVE
    assert watching.look(record(beat="1"), 105 + SILENCE) is State.ALIVE
    assert watching.look(record(beat="1"), 106 + SILENCE) is State.DEAD


def test_run_elsewhere_without_a_heartbeat_is_dead_after_a_while():
    watching = watch(record(beat="7"), 100)
    assert watching.look(record(beat="7"), 100 + SILENCE) is State.ELSEWHERE
    assert watching.look(record(beat="7"), 101 + SILENCE) is State.DEAD
