# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import declared_releases


def test_declared_releases_use_the_common_source_and_version():
    given = {"name": "r", "namespace": "n", "chart": "c", "charts": None, "version": None, "digest": None}
    given.update(values={}, patches=[], after=[], state="present")
    (release,) = declared_releases({"releases": [given], "charts": "oci://x", "version": "1"})
    assert (release.charts, release.version, release.digest) == ("oci://x", "1", None)
    with pytest.raises(MeshopsError, match="release r has no chart"):
        declared_releases({"releases": [{**given, "chart": None}]})
    with pytest.raises(MeshopsError, match=r"release r comes after typo, and that release does not exist \(NotFound\)"):
        declared_releases({"releases": [{**given, "after": ["typo"]}]})
    assert declared_releases({"releases": [{**given, "after": ["istiod", "r"]}]}, ["istiod"])
