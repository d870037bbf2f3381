# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is published about a run: pure functions."""

from __future__ import annotations

import dataclasses

from ansible_collections.meshops.istio.extensions.operator import publication, status
from ansible_collections.meshops.istio.extensions.operator.documents import Share
from ansible_collections.meshops.istio.extensions.operator.playbook import CONTROL_PLANE, PlayResult
from ansible_collections.meshops.istio.extensions.operator.publication import Run
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import ControlPlane
from fakes.istio_operators import obj, release

SYSTEM = "istio-system"
UPGRADED = {"name": "istiod", "namespace": SYSTEM, "action": "upgrade", "reasons": ["its values differ"]}
UNCHANGED = {**UPGRADED, "action": "none", "reasons": []}


def share(document):
    return Share(document, control_plane=ControlPlane([release("istiod", chart="istiod")], SYSTEM, "", []))


def published(document, failure="", reason="Changed", drifted="", failures=0, **result):
    played = PlayResult(failure, results={CONTROL_PLANE: {"changed": False, "releases": [UNCHANGED], **result}})
    run = Run(reason, drifted, failures)
    return publication.applied(document, share(document), run, played, publication.report(played))


def ready():
    """An object that is ready."""
    document = obj()
    return obj(status=status.status(document, published(document).outcome, "t"))


def test_a_repair_is_named_until_something_else_happens():
    repaired = published(ready(), reason="Drift", drifted="Service istiod", changed=True, releases=[UPGRADED])
    assert repaired.outcome.message == "1 of 1 component ready; repaired after Service istiod had changed"
    assert repaired.ended.repaired
    assert repaired.is_good
    document = obj(status=status.status(obj(), repaired.outcome, "t"))
    assert published(document, reason="Resync").outcome.message == repaired.outcome.message
    failed = obj(status=status.status(document, published(document, failure="no").outcome, "t"))
    assert published(failed, reason="Retry").outcome.message == "1 of 1 component ready"


def test_an_object_that_was_ready_gets_no_further_event():
    assert [event.reason for event in published(ready()).events] == []
    assert [event.reason for event in published(obj()).events] == ["Ready"]


def test_a_failure_is_an_event_once():
    first = published(obj(), failure="no")
    assert [(event.reason, event.is_warning) for event in first.events] == [("Failed", True)]
    assert (first.ended.failed, first.has_failed, first.is_good) == (True, True, False)
    assert published(ready(), failure="no", failures=1).events == []


def test_failed_releases_are_read_from_the_result():
    failures = [{"namespace": SYSTEM, "name": "istiod", "message": "not ready"}]
    found = published(obj(), failure="a proof", releases=[UPGRADED])
    assert found.outcome.components[0]["state"] == "Ready", "the proof failed, not a release"
    played = PlayResult("a sentence", results={CONTROL_PLANE: {"releases": [UPGRADED], "failures": failures}})
    report = publication.report(played)
    assert report.progress.failed == {(SYSTEM, "istiod"): "not ready"}
    document = obj()
    outcome = publication.applied(document, share(document), Run("Changed"), played, report).outcome
    assert outcome.components[0]["state"] == "Failed"


def test_an_invalid_object_keeps_what_it_had():
    document = dataclasses.replace(share(obj()), problem="spec.x: unknown")
    first = publication.refused(obj(), document)
    assert [event.reason for event in first.events] == ["Invalid"]
    refused = obj(status=status.status(obj(), first.outcome, "t"))
    assert publication.refused(refused, document).events == []
    played = PlayResult("no", results={CONTROL_PLANE: {"changed": True, "releases": [UPGRADED]}})
    kept = publication.kept(refused, document, Run("Changed"), played, publication.report(played))
    assert kept.outcome.message == "spec.x: unknown; and keeping the last good spec failed: no"
    assert (kept.ended.failed, kept.ended.repaired) == (True, False)
    assert [event.reason for event in kept.events] == ["Upgraded", "Failed"]


def test_the_version_is_istiods_without_its_build():
    assert published(obj(), proof={"version": "1.31.0-abc"}).outcome.version == "1.31.0"
    assert published(obj()).outcome.version is None
