# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The error that a module fails with."""

from __future__ import annotations

import typing as t


class MeshopsError(Exception):
    """A problem that the user can act on; its text is the message that a module fails with.

    :ivar result: what the module returns beside the message, such as the objects that were already written
    """

    def __init__(self, message: str = "", result: t.Mapping[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.result: dict[str, t.Any] = dict(result or {})
