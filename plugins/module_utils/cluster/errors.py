# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong between this collection and a Kubernetes API server."""

from __future__ import annotations

import typing as t

from ..errors import MeshopsError


class ApiError(MeshopsError):
    """The API server refused a request.

    :ivar status: HTTP status code
    :ivar reason: the Status object's reason, such as C(NotFound), C(Conflict), C(Invalid)
    :ivar causes: the Status object's causes: dicts with C(reason), C(field), C(message)
    :ivar retry_after: seconds the server asks to wait, or None
    :ivar unserved: the server doesn't know the path, so it doesn't serve the kind in this version
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        reason: str = "",
        causes: t.Sequence[dict[str, t.Any]] = (),
        retry_after: float | None = None,
        *,
        unserved: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = list(causes)
        self.retry_after = retry_after
        self.unserved = unserved


class Unreachable(MeshopsError):
    """No answer from the API server: connection refused, cut, or TLS failed."""
