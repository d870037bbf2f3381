# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an upgrade fails with."""

from __future__ import annotations

from ..errors import ClusterError


class UpgradeError(ClusterError):
    """An upgrade that may not begin or that doesn't get on; the text says why.

    :ivar result: what the module returns beside the message
    """

    def __init__(self, message: str, result: dict | None = None) -> None:
        super().__init__(message)
        self.result = result or {}
