# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hypothesis strategies for HTTPMatchRequests and requests, and whether one matches the other."""

from __future__ import annotations

import re

from hypothesis import strategies as st

TEXTS = st.sampled_from(["", "/", "/a", "/ab", "/b", "x"])
MATCHERS = st.one_of(
    st.builds(lambda text: {"exact": text}, TEXTS),
    st.builds(lambda text: {"prefix": text}, TEXTS),
    st.sampled_from([{"regex": "/a.*"}, {"regex": ".*b"}]),
)
NAMES = st.sampled_from(["one", "two"])
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "uri": MATCHERS,
        "method": MATCHERS,
        "headers": st.dictionaries(NAMES, st.one_of(MATCHERS, st.just({})), max_size=2),
        "withoutHeaders": st.dictionaries(NAMES, st.one_of(MATCHERS, st.just({})), max_size=2),
        "queryParams": st.dictionaries(NAMES, MATCHERS, max_size=2),
        "port": st.sampled_from([80, 81]),
        "sourceLabels": st.dictionaries(NAMES, st.sampled_from(["x", "y"]), max_size=2),
        "sourceNamespace": st.sampled_from(["demo", "other"]),
        "gateways": st.lists(st.sampled_from(["mesh", "ingress"]), min_size=1, unique=True),
    },
)
REQUESTS = st.fixed_dictionaries(
    {
        "uri": TEXTS,
        "method": TEXTS,
        "headers": st.dictionaries(NAMES, TEXTS, max_size=2),
        "queryParams": st.dictionaries(NAMES, TEXTS, max_size=2),
        "port": st.sampled_from([80, 81]),
        "sourceLabels": st.dictionaries(NAMES, st.sampled_from(["x", "y"]), max_size=2),
        "sourceNamespace": st.sampled_from(["demo", "other"]),
        "gateway": st.sampled_from(["mesh", "ingress"]),
    }
)


def string_fits(text, condition):
    if not condition:
        return text is not None
    if text is None:
        return False
    ((how, value),) = condition.items()
    if how == "regex":
        return re.fullmatch(value, text) is not None
    return text.startswith(value) if how == "prefix" else text == value


def fits(request, match):
    """Whether a request matches an HTTPMatchRequest, by Istio's documentation."""
    return (
        all(string_fits(request[name], match[name]) for name in ("uri", "method") if name in match)
        and all(string_fits(request["headers"].get(k), v) for k, v in match.get("headers", {}).items())
        and not any(string_fits(request["headers"].get(k), v) for k, v in match.get("withoutHeaders", {}).items())
        and all(string_fits(request["queryParams"].get(k), v) for k, v in match.get("queryParams", {}).items())
        and match.get("port", request["port"]) == request["port"]
        and match.get("sourceNamespace", request["sourceNamespace"]) == request["sourceNamespace"]
        and request["gateway"] in match.get("gateways", [request["gateway"]])
        and all(request["sourceLabels"].get(k) == v for k, v in match.get("sourceLabels", {}).items())
    )
