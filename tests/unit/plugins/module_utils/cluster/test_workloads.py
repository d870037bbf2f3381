# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.workloads import NotReady, wait_ready

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}}


class Cluster:
    """One pod, without events and log lines."""

    def __init__(self, pod):
        self.pod = pod

    def kind(self, *_which):
        return None

    def get(self, *_which):
        return self.pod

    def list(self, *_which, **_query):
        return []

    def logs(self, *_which, **_query):
        return ""


def waiting(reason, restarts=0):
    container = {"name": "c", "image": "i", "restartCount": restarts, "state": {"waiting": {"reason": reason}}}
    return Cluster({**POD, "status": {"containerStatuses": [container]}})


@pytest.mark.parametrize(
    ("cluster", "timeout", "unpullable"),
    [
        (waiting("ImagePullBackOff"), 60, True),
        (waiting("InvalidImageName"), 60, True),
        (waiting("CreateContainerConfigError"), 60, False),
        (waiting("CrashLoopBackOff", restarts=3), 60, False),
        (waiting("ErrImagePull"), 0, True),
        (waiting("ContainerCreating"), 0, False),
    ],
)
def test_an_image_that_can_not_be_pulled_is_told_from_other_trouble(cluster, timeout, unpullable):
    with pytest.raises(NotReady) as error:
        wait_ready(cluster, [POD], lambda _live: "no", timeout)
    assert error.value.unpullable is unpullable
    assert "Pod n/p is not ready" in str(error.value)
