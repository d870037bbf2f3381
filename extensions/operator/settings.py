# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the chart tells the controller, by environment variables."""

from __future__ import annotations

import dataclasses
import os
import typing as t


@dataclasses.dataclass(frozen=True)
class Settings:
    """The controller's settings.

    :ivar namespace: the operator's own
    :ivar identity: the pod's name, by which one of several replicas leads
    :ivar watched: the namespaces whose IstioOperator objects count
    :ivar managed: the namespaces in which something may be installed
    :ivar charts: where Istio's charts come from
    :ivar version: the charts' version where a document's tag names none; empty takes the newest
    :ivar hub: where images come from, where a document says nothing
    :ivar tag: tag of the images, where a document says nothing
    :ivar resync: seconds after which everything is compared even where no change was seen
    :ivar port: of metrics and health
    """

    namespace: str
    identity: str
    watched: tuple[str, ...]
    managed: tuple[str, ...]
    charts: str
    version: str = ""
    hub: str = ""
    tag: str = ""
    wait_timeout: int = 300
    resync: float = 3600
    port: int = 8080


def read(given: t.Mapping[str, str] | None = None) -> Settings:
    """The settings that environment variables hold."""
    environment = os.environ if given is None else given

    def words(name: str) -> tuple[str, ...]:
        return tuple(word for word in environment.get(name, "").split(",") if word)

    watched = words("WATCH_NAMESPACES")
    return Settings(
        namespace=environment["POD_NAMESPACE"],
        identity=environment["POD_NAME"],
        watched=watched,
        managed=tuple(dict.fromkeys([*watched, *words("MANAGED_NAMESPACES")])),
        charts=environment["CHARTS"],
        version=environment.get("ISTIO_VERSION", ""),
        hub=environment.get("ISTIO_HUB", ""),
        tag=environment.get("ISTIO_TAG", ""),
        wait_timeout=int(environment.get("WAIT_TIMEOUT", "300")),
        resync=float(environment.get("RESYNC", "3600")),
        port=int(environment.get("PORT", "8080")),
    )
