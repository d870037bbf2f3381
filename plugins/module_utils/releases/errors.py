# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The error of releases."""

from __future__ import annotations

from ..errors import MeshopsError


class ReleaseError(MeshopsError):
    """Releases that cannot be planned or do not become ready."""
