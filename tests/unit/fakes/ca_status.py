# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh's certificates: a bundle, a proxy that holds it, and one that cannot be read."""

from __future__ import annotations

import datetime
import functools

from ansible_collections.meshops.istio.plugins.module_utils.ca import authority, status
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import Istiod
from ansible_collections.meshops.istio.plugins.module_utils.ca.present import Present
from ansible_collections.meshops.istio.plugins.module_utils.proxies.proxy import Proxy

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


@functools.cache
def bundle(days=400):
    return authority.generated(authority.CaSpec(intermediate_days=days), NOW)


def mesh(days=400):
    held = bundle(days)
    proxy = Proxy("app", "web", roots=frozenset({held.root.fingerprint}), root_certificates=held.trusted,
                  chain=(held.signer, held.signer, held.root))  # fmt: skip
    lost = Proxy("app", "lost", error="<refused>")
    return status.summary(
        Present(held, plugged=True), status.Observed([Istiod("istio-system", "d")], [proxy, lost]), NOW, 60
    )
