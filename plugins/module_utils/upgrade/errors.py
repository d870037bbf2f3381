# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an upgrade fails with."""

from __future__ import annotations

from ..errors import MeshopsError


class UpgradeError(MeshopsError):
    """An upgrade that may not begin or that doesn't get on; the text says why."""
