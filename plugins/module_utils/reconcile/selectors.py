# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Kubernetes label selector selects."""

from __future__ import annotations

import typing as t


def matches(selector: t.Mapping[str, t.Any] | None, labels: t.Mapping[str, str]) -> bool:
    """Whether a Kubernetes label selector selects these labels."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    tests: dict[str, t.Callable[[str, list[t.Any]], bool]] = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, values: key in labels,
        "DoesNotExist": lambda key, values: key not in labels,
    }
    expressions = selector.get("matchExpressions") or ()
    return all(tests[one["operator"]](one["key"], one.get("values") or []) for one in expressions)
