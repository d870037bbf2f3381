# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proxies follow a change soon, but not at once."""

from __future__ import annotations

import time


def eventually(look, wanted, timeout=90):
    """Looks again and again, until it sees what is wanted; fails with what it saw last, after so many seconds."""
    end = time.monotonic() + timeout
    while (seen := look()) != wanted and time.monotonic() < end:
        time.sleep(0.5)
    assert seen == wanted
