# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults.intersect import intersection
from fakes.matches import MATCHES, REQUESTS, fits
from hypothesis import given
from hypothesis import strategies as st


@given(MATCHES, MATCHES, st.lists(REQUESTS, min_size=1, max_size=20))
def test_intersection_holds_exactly_where_both_matches_hold(one, other, requests):
    try:
        joined = intersection(one, other)
    except MeshopsError:
        return
    for request in requests:
        expected = fits(request, one) and fits(request, other)
        assert (joined is not None and fits(request, joined)) == expected


def test_header_names_ignore_case_and_re2_only_expressions_are_refused():
    route, fault = {"headers": {"X-User": {"exact": "a"}}}, {"headers": {"x-user": {"prefix": "a"}}}
    assert intersection(route, fault) == {"headers": {"x-user": {"exact": "a"}}}
    assert intersection(route, {"headers": {"x-user": {"exact": "b"}}}) is None
    with pytest.raises(MeshopsError, match="Cannot evaluate .* give the fault an exact value"):
        intersection({"uri": {"exact": "/a"}}, {"uri": {"regex": r"/\pL+"}})


@pytest.mark.parametrize(
    ("route", "fault", "message"),
    [
        ({"uri": {"regex": "/a"}}, {"uri": {"regex": "/b"}}, "cannot match both: give the fault an exact value"),
        ({"uri": {"exact": "/a"}, "ignoreUriCase": True}, {"uri": {"exact": "/a"}}, "differ in ignoreUriCase"),
        ({"withoutHeaders": {"A": {}}}, {"withoutHeaders": {"a": {"exact": "1"}}}, "withoutHeaders.a differently"),
    ],
)
def test_matches_that_istio_cannot_combine_are_refused(route, fault, message):
    with pytest.raises(MeshopsError, match=message):
        intersection(route, fault)
