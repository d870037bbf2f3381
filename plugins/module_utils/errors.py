# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module fails with."""

from __future__ import annotations


class ClusterError(Exception):
    """A problem that the user can act on; its text is the message that a module fails with."""
