# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names for the shapes that Kubernetes' JSON has in Python."""

from __future__ import annotations

import typing as t

#: An object as the API server gives and takes it: C(apiVersion), C(kind), C(metadata), and what its kind has besides.
K8sObject = dict[str, t.Any]
#: Labels, annotations or a selector's C(matchLabels).
Labels = t.Mapping[str, str]
