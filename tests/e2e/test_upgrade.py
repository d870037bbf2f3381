# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh goes from one version to the next and back, in place and by a revision, and no request fails.

The stories build on each other, in the order of this file.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tarfile

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from following import eventually
from traffic import without_failure
from upgrade_story import Story

pytestmark = [pytest.mark.previous, pytest.mark.timeout(1800)]

WAYS = {
    "sidecar": ("demo", "http://echo.demo/"),
    "gateway": ("outside", "http://istio-ingressgateway.istio-system/"),
}


@pytest.fixture(scope="module")
def story(own_mesh, tmp_path_factory):
    story = Story(own_mesh, tmp_path_factory.mktemp("upgrade"))
    own_mesh.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outside"}})
    story.play("site", story.mesh.env["LAB_PREVIOUS_TAG"])
    return story


@pytest.fixture
def traffic(story, tmp_path):
    """Requests through the gateway and between sidecars."""
    with without_failure(story.mesh, tmp_path, WAYS, at_least=500) as traffic:
        yield traffic


def test_nothing_is_changed_where_the_new_version_would_drop_a_field(story, tmp_path):
    """The next version's charts, less the weights of routes, which the demo has."""
    charts = pathlib.Path(shutil.copytree(story.mesh.env["LAB_CHARTS"], tmp_path / "charts"))
    (package,) = charts.glob("base-*.tgz")
    with tarfile.open(package) as archive:
        archive.extractall(tmp_path, filter="data")
    definitions = tmp_path / "base/files/crd-all.gen.yaml"
    text = definitions.read_text()
    definitions.write_text(text.replace(" weight:\n", " share:\n"))
    assert definitions.read_text() != text
    with tarfile.open(package, "w:gz") as archive:
        archive.add(tmp_path / "base", "base")
    run = story.play("upgrade", story.mesh.env["LAB_TAG"], fails=True, control_plane_charts=str(charts))
    assert "VirtualService demo/echo: spec.http[0].route[0].weight is not known to the new version" in run.text
    assert run.count("changed") == 0


def test_in_place_killed_in_the_middle_and_gone_on_with(story, traffic):
    older, newer = story.mesh.env["LAB_PREVIOUS_TAG"], story.mesh.env["LAB_TAG"]
    assert story.proxies() == {("default", older)}

    def gateway_is_rolled() -> bool:
        pods = story.mesh.pods("istio-system", "istio=ingressgateway")
        return any(f":{newer}" in c["image"] for pod in pods for c in pod["spec"]["containers"])

    story.play_and_kill("upgrade", newer, gateway_is_rolled)
    assert ("default", older) in story.proxies(), "it was over before it could be killed"
    story.play("upgrade", newer)
    assert story.proxies() == {("default", newer)}
    assert story.play("upgrade", newer).count("changed") == 0


def test_back_in_place(story, traffic):
    older = story.mesh.env["LAB_PREVIOUS_TAG"]
    story.play("upgrade", older, upgrade_rollback=True)
    assert story.proxies() == {("default", older)}


VALIDATOR = KNOWN["admissionregistration.k8s.io", "ValidatingWebhookConfiguration"]
WEBHOOK = KNOWN["admissionregistration.k8s.io", "MutatingWebhookConfiguration"]
NO_ROUTE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "no-route", "namespace": "demo"},
    "spec": {"hosts": ["nowhere.example.com"], "http": [{"match": [{"uri": {"prefix": "/"}}]}]},
}
REVISION = {"control_plane_revision": "next", "control_plane_tags": ["prod"], "injection_revision": "prod"}


def written(cluster, obj) -> bool:
    """Writes an object; the API server may go by the webhooks of before for a moment."""
    try:
        cluster.create(obj)
    except ApiError as error:
        if "admission webhook" not in str(error):
            raise
        return False
    return True


@contextlib.contextmanager
def nobody_validates(cluster):
    """For a moment objects are written that no istiod has seen."""

    def select(labels):
        webhook = {"name": "validation.istio.io", "objectSelector": {"matchLabels": labels}}
        cluster.patch(
            VALIDATOR, "istiod-default-validator", {"webhooks": [webhook]}, options=PatchOptions(how="strategic")
        )

    select({"validated": "never"})
    yield
    select(None)


def validates_by_default(cluster) -> str:
    """The revision that validates objects that name none."""
    return cluster.get(VALIDATOR, "istiod-default-validator")["metadata"]["labels"]["istio.io/rev"]


def test_the_tag_default_is_refused_while_there_is_a_control_plane_without_a_revision(story):
    both = {**REVISION, "control_plane_tags": ["default"]}
    refused = story.play("upgrade", story.mesh.env["LAB_TAG"], fails=True, **both)
    assert "the tag default can't point to revision next while there is a control plane without" in refused.text
    assert refused.count("changed") == 0
    assert story.istiods() == {"istiod"}


def test_by_a_revision_beside_the_old_one(story, traffic):
    """At first the new istiod refuses an object of the mesh: nothing moves to it until that is mended."""
    newer, revision, cluster = story.mesh.env["LAB_TAG"], REVISION, story.mesh.cluster
    before = story.proxies()
    with nobody_validates(cluster):
        eventually(lambda: written(cluster, NO_ROUTE), True)
    refused = story.play("upgrade", newer, fails=True, **revision)
    assert "istiod of revision next refuses what the mesh has" in refused.text
    assert "VirtualService demo/no-route" in refused.text
    assert "HTTP route, redirect or direct_response is required" in refused.text
    assert story.proxies() == before
    assert cluster.get(WEBHOOK, "istio-revision-tag-prod") is None
    assert validates_by_default(cluster) == "default"
    cluster.delete(KNOWN["networking.istio.io", "VirtualService"], "no-route", "demo")

    story.play("upgrade", newer, **revision)
    assert story.proxies() == {("next", newer)}
    assert story.istiods() == {"istiod-next"}
    assert validates_by_default(cluster) == "next"
    assert story.play("upgrade", newer, **revision).count("changed") == 0


def test_with_an_istio_operator_document_that_names_the_revision(story):
    """What the variables said is in a document now; the revision that it names stays."""
    env = story.mesh.env
    spec = {
        "profile": "demo",
        "hub": env["LAB_HUB"],
        "tag": env["LAB_TAG"],
        "revision": "next",
        "meshConfig": story.variables["control_plane_mesh_config"],
        "components": {
            "ingressGateways": [{"name": "istio-ingressgateway", "enabled": False}],
            "egressGateways": [{"name": "istio-egressgateway", "enabled": False}],
        },
        "values": {
            "telemetry": {"enabled": False},
            "pilot": {"env": {"PILOT_ENABLE_ALPN_FILTER": "false", "PILOT_ENABLE_METADATA_EXCHANGE": "false"}},
            "global": {"imagePullPolicy": "IfNotPresent"},
            "revisionTags": ["prod"],
        },
    }
    document = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}
    beside = {f"control_plane_{name}": None for name in ("profile", "values", "mesh_config")}
    beside |= {"control_plane_istio_operator": document, "injection_revision": "prod"}
    assert story.play("upgrade", env["LAB_TAG"], **beside).count("changed") > 0
    assert story.istiods() == {"istiod-next"}
    assert story.proxies() == {("next", env["LAB_TAG"])}
    assert validates_by_default(story.mesh.cluster) == "next"
    assert story.mesh.cluster.get(WEBHOOK, "istio-revision-tag-prod")["metadata"]["labels"]["istio.io/rev"] == "next"
    assert story.play("upgrade", env["LAB_TAG"], **beside).count("changed") == 0
