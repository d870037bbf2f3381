# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a refusal of the API server carries beside its text."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError, Unreachable
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def test_a_refusal_carries_status_reason_and_causes():
    causes = [{"reason": "FieldValueInvalid", "field": "spec.hosts", "message": "must be set"}]
    error = ApiError("invalid", status=422, reason="Invalid", causes=tuple(causes), retry_after=2.0)
    assert (str(error), error.status, error.reason, error.retry_after) == ("invalid", 422, "Invalid", 2.0)
    assert error.causes == causes
    assert not error.unserved


def test_a_module_fails_with_any_of_them():
    assert isinstance(ApiError("no"), MeshopsError)
    assert isinstance(Unreachable("no"), MeshopsError)
