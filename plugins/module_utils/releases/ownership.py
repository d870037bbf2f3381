# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which release an object belongs to."""

from __future__ import annotations

from ..cluster.client import Cluster
from ..helm.ownership import release_of
from ..helm.stored import stored_releases
from ..reconcile.identity import Key, key, title
from .model import ReleasePlan
from .render import ReleaseError
from .takeover import Takeover, is_due, with_fields_handed_over


def _check_ownership(one: ReleasePlan, live: dict[Key, dict]) -> None:
    """Whether helm may write the objects that exist already: as helm itself checks it, but before anything is done.

    :raises ReleaseError: some belong to someone else
    """
    release = one.release
    foreign = []
    for obj in one.objects:
        found = live.get(key(obj))
        if found is None or one.action == "none":
            continue
        owner = release_of(found)
        if owner != (release.namespace, release.name):
            foreign.append(f"{title(obj)} ({'release ' + '/'.join(owner) if owner else 'no release'})")
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ReleaseError(
            f"release {release.namespace}/{release.name} can't have objects that exist already and belong to"
            f" someone else: {', '.join(foreign[:3])}{more}. Set take_ownership to take them over, or remove them"
        )


def _plan_takeovers(one: ReleasePlan, live: dict[Key, dict], cluster: Cluster) -> None:
    """Adds the objects that exist already and aren't the release's.

    :raises ReleaseError: some belong to another release, which would fight for them
    """
    mine = (one.release.namespace, one.release.name)
    for change in one.changes:
        found = live.get(change.key)
        if change.action == "delete" or found is None or not is_due(found, one.release, one.base is not None):
            continue
        owner = release_of(found)
        if owner not in (None, mine) and stored_releases(cluster, [owner]):
            raise ReleaseError(
                f"release {'/'.join(mine)} can't have {change.title}: it belongs to release {'/'.join(owner)}, which"
                " would go on writing it. Uninstall that one (state absent), or give this one its name and namespace"
            )
        one.takeovers.append(Takeover(found, change.after))
        change.action, change.before = "update", with_fields_handed_over(found)
    taken = {id(t.wanted) for t in one.takeovers}
    one.repairs = [change for change in one.repairs if id(change.after) not in taken]
