# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documents with which Istio tests its own validation: good ones apply, bad ones are refused by field."""

from __future__ import annotations

import pathlib
import re
import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.objects.reconcile import reconcile_objects
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.documents import parse

PATH = re.compile(r"\b(spec(?:\.\w+|\[\d+\])+)")


@pytest.fixture(scope="session")
def documents(api_server) -> list[tuple[str, dict, str | None]]:
    """(file and document, object, what Istio expects its error to hold, None for a good one)"""
    folder = pathlib.Path(api_server["LAB_ISTIO_SOURCE"]) / "pkg" / "config" / "validation" / "testdata" / "crds"
    found = []
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text("utf-8").replace("001:db8::]", '"001:db8::"]')  # PyYAML can't read this one unquoted
        for document in parse(text, path.name):
            expected = document.obj.pop("_err", None)
            found.append((document.place, document.obj, expected))
    return found


@pytest.fixture
def apply(cluster, namespace):
    """Declares one object in a namespace of the test's own, and gives what was done with it."""

    def apply(obj: dict, check_mode: bool = False) -> str:
        module = types.SimpleNamespace(check_mode=check_mode, _diff=False)
        declared = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
        return reconcile_objects(module, cluster, [declared])["objects"][0]["action"]

    return apply


def test_bad_documents_are_refused_by_a_message_that_names_object_and_field(documents, apply, namespace):
    bad = [(place, obj, expected) for place, obj, expected in documents if expected is not None]
    assert len(bad) > 60
    for place, obj, expected in bad:
        for check_mode in (True, False):
            with pytest.raises(MeshopsError) as refusal:
                apply(obj, check_mode)
            message = str(refusal.value)
            assert message.startswith(f"{obj['kind']} {namespace}/{obj['metadata']['name']}: "), place
            assert re.search(r"[:;] (spec\b|unknown field spec)", message), f"{place}: {message}"
            named = PATH.search(expected)
            if named:
                assert named[1] in message, f"{place}: {message}"


def test_good_documents_apply_and_then_are_unchanged(documents, apply):
    good = [(place, obj) for place, obj, expected in documents if expected is None]
    assert len(good) > 25
    for place, obj in good:
        # Objects of one name in one file are variants of each other: each is created or updated, then stays.
        assert apply(obj) in ("created", "updated", "unchanged"), place
        assert apply(obj) == "unchanged", place
