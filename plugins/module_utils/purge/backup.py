# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes what a purge takes away as files that mesh_objects and site.yml take back.

C(namespaces/) and C(workloads/): the labels that are taken off, C(ca/): the CA's and remote clusters' secrets,
C(mesh_objects/): what users have written, one file an object, C(operators/): the resources from which an operator made
a mesh, C(releases/): every release as Helm had it, C(site.yml): the variables of playbooks/site.yml
(C(site.REVISION.yml) for further revisions, C(site.REVISION.TAG.yml) for namespaces that name a tag).
"""

from __future__ import annotations

import collections
import os
import re
import typing as t

from ..errors import MeshopsError
from ..footprint.charts import Release, documents, id_of
from ..footprint.item import Item, released
from ..mesh.names import istio_group
from ..mesh.pods import gateway_template
from .plan import Plan

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # the kubernetes package brings it; cluster.auth tells the user

#: Written when a purge has ended: the folder belongs to that purge.
DONE = "purged.yml"
#: Folders of files that say what lives, and not what is taken off it.
_LIVE = ("ca/", "mesh_objects/", "operators/")
_SERVER_FIELDS = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    "ownerReferences",
    "finalizers",
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def backup_files(plan: Plan, listed: list[dict], with_ca: bool = True) -> dict[str, dict]:
    """Path in the backup folder -> document, for everything that a purge takes away and a user may want back."""
    objects = {id_of(obj): obj for obj in listed}
    files: dict[str, dict] = {}
    for item in plan.items:
        obj = objects[item.id]
        if item.part == "mesh_objects" or gateway_template(obj) and not _installed(item):
            files[_path("mesh_objects", item)] = clean(obj)
        elif item.part == "operators" and istio_group(item.id[0]):
            files[_path("operators", item)] = clean(obj)
        elif item.part == "ca" and with_ca:
            files[_path("ca", item)] = clean(obj)
        elif item.part == "namespaces":
            files[_path("namespaces", item)] = clean({k: v for k, v in obj.items() if k not in ("spec", "status")})
        elif item.part == "injection" and item.kind != "Node":
            taken = _taken_off(item, obj)
            if taken:
                files[_path("namespaces" if item.kind == "Namespace" else "workloads", item)] = taken
        elif item.action == "restart" and item.keys:
            files[_path("workloads", item)] = _taken_off_template(item, obj)
    for release in plan.releases:
        files[f"releases/{release.namespace}.{release.name}.yml"] = {
            "name": release.name,
            "namespace": release.namespace,
            "chart": release.chart,
            "version": release.version,
            "values": release.values,
        }
    return {**files, **site_files(plan.releases, objects, plan)}


def clean(obj: dict) -> dict:
    """An object without what the server writes, ready to be applied again."""
    kept = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    meta = {k: v for k, v in obj["metadata"].items() if k not in _SERVER_FIELDS}
    if _LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != _LAST_APPLIED}
        if not meta["annotations"]:
            del meta["annotations"]
    return {"apiVersion": kept.pop("apiVersion"), "kind": kept.pop("kind"), "metadata": meta, **kept}


def _installed(item: Item) -> bool:
    """Whether an installer made a gateway, which site.yml hence makes again."""
    return released(item) or any(reason.startswith("label operator.") for reason in item.why)


def _path(folder: str, item: Item) -> str:
    group = item.id[0]
    known = not group or group == "apps" or istio_group(group)
    kind = item.kind.lower() if known else f"{item.kind.lower()}.{group}"  # Gateways are Istio's and the Gateway API's
    name = ".".join(part for part in (kind, item.namespace, item.name) if part)
    return f"{folder}/{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.yml"


def _named(item: Item) -> dict[str, t.Any]:
    return {"name": item.name, **({"namespace": item.namespace} if item.namespace else {})}


def _keys(item: Item, what: str) -> list[str]:
    return [key[len(what) + 1 :] for key in item.keys if key.startswith(what + " ")]


def _taken_off(item: Item, obj: dict) -> dict | None:
    meta = _named(item)
    for field, what in (("labels", "label"), ("annotations", "annotation")):
        taken = {key: obj["metadata"][field][key] for key in _keys(item, what)}
        if taken:
            meta[field] = taken
    if "labels" not in meta and "annotations" not in meta:
        return None
    return {"apiVersion": item.api_version, "kind": item.kind, "metadata": meta}


def _taken_off_template(item: Item, obj: dict) -> dict:
    template = obj["spec"]["template"]["metadata"]
    taken: dict[str, dict] = {}
    for field, what in (("labels", "template label"), ("annotations", "template annotation")):
        keys = {key: template[field][key] for key in _keys(item, what)}
        if keys:
            taken[field] = keys
    return {
        "apiVersion": item.api_version,
        "kind": item.kind,
        "metadata": _named(item),
        "spec": {"template": {"metadata": taken}},
    }


_CHART_VALUES = {"base": "base", "istiod": "istiod", "istio-discovery": "istiod", "cni": "cni", "ztunnel": "ztunnel"}


def site_files(releases: t.Sequence[Release], objects: dict, plan: Plan) -> dict[str, dict]:
    """The variables of site.yml that bring back the mesh: one file a revision, C(site.yml) for the default or first."""
    shared = {_CHART_VALUES[r.chart]: r for r in releases if r.chart in _CHART_VALUES}
    istiod = shared.pop("istiod", None)
    controls = sorted(
        (r for r in releases if r.part == "control_plane" and r.revision), key=lambda r: r.revision != "default"
    )
    planes = [(r.revision, dict(r.values)) for r in controls] or _without_release(objects)
    namespace = istiod.namespace if istiod else shared["base"].namespace if "base" in shared else "istio-system"
    common: dict[str, t.Any] = {"control_plane_profile": "ambient"} if "ztunnel" in shared else {}
    if namespace != "istio-system":
        common["control_plane_namespace"] = namespace
    if "cni" in shared and "ztunnel" not in shared:
        common["control_plane_cni"] = True
    files = {}
    for place, (revision, values) in enumerate(planes):
        values.pop("revision", None)
        tags = values.pop("revisionTags", None)
        own = next((r for r in controls if r.revision == revision), None)
        variables = {
            **common,
            **({"control_plane_version": own.version} if own else {}),
            **({"control_plane_revision": revision} if revision != "default" else {}),
            **({"control_plane_tags": tags} if tags else {}),
            "control_plane_values": {**{name: r.values for name, r in shared.items() if r.values}, "istiod": values},
        }
        injected = _injected_by(plan, objects, [revision, *(tags or ())])
        own = injected.pop(revision, [])
        if not own and injected:
            name = max(injected, key=lambda name: len(injected[name]))
            own = injected.pop(name)
            variables["injection_revision"] = "" if name == "default" else name
        if own:
            variables["injection_namespaces"] = own
        gateways = _gateways(releases, plan)
        if place == 0 and gateways:
            variables["gateways_list"] = gateways
        files["site.yml" if place == 0 else f"site.{revision}.yml"] = variables
        for name, namespaces in injected.items():
            label = {"injection_revision": "" if name == "default" else name, "injection_namespaces": namespaces}
            files[f"site.{revision}.{name}.yml"] = {**variables, **label}
    return files


def _injected_by(plan: Plan, objects: dict, names: t.Collection[str]) -> dict[str, list[str]]:
    """The namespaces that get their sidecars from a revision, by the one of its names that they carry."""
    found = collections.defaultdict(list)
    for item in plan.part("injection"):
        labels = objects[item.id]["metadata"].get("labels") or {}
        wanted = labels.get("istio.io/rev") or ("default" if labels.get("istio-injection") == "enabled" else "")
        if item.kind == "Namespace" and wanted in names:
            found[wanted].append(item.name)
    return dict(found)


def _without_release(objects: dict) -> list[tuple[str, dict]]:
    """The values of control planes that istioctl installed: istiod keeps them in a ConfigMap."""
    found = []
    for (_group, kind, _namespace, name), obj in sorted(objects.items()):
        labels = obj["metadata"].get("labels") or {}
        if kind == "ConfigMap" and name.partition("-")[0] == "values" and "operator.istio.io/component" in labels:
            values = yaml.safe_load((obj.get("data") or {}).get("original-values") or "{}") or {}
            found.append((labels.get("istio.io/rev") or "default", values))
    return sorted(found, key=lambda entry: entry[0] != "default")


def _gateways(releases: t.Sequence[Release], plan: Plan) -> list[dict]:
    gateways = [
        {"name": r.name, "namespace": r.namespace, "values": r.values, **_openshift_route(r)}
        for r in releases
        if r.chart == "gateway"
    ]
    if gateways:
        return gateways
    return [
        {
            "name": item.name,
            "namespace": item.namespace,
            "direction": "egress"
            if any("Egress" in reason or "egress" in reason for reason in item.why)
            else "ingress",
        }
        for item in plan.part("gateways")
        if item.kind == "Deployment" and _installed(item)
    ]


def _openshift_route(release: Release) -> dict[str, t.Any]:
    """The Route in a gateway's release as the gateways role was told of it."""
    route = next((o for o in documents(release.manifest) if o["kind"] == "Route"), None)
    if route is None:
        return {}
    spec = route["spec"]
    told = {field: spec[field] for field in ("host", "path", "tls") if spec.get(field)}
    if route["metadata"].get("annotations"):
        told["annotations"] = route["metadata"]["annotations"]
    if spec.get("port"):
        told["port"] = spec["port"]["targetPort"]
    return {"openshift_route": told}


def set_aside(folder: str) -> str | None:
    """Renames the folder where it holds the backup of a purge that has ended, and gives its new name.

    :raises MeshopsError: it can't be renamed
    """
    path = os.path.join(folder, DONE)
    try:
        with open(path, encoding="utf-8") as file:
            ended = yaml.safe_load(file)["ended"].replace(":", "")
        moved = f"{folder.rstrip('/')}.{ended}"
        os.rename(folder, moved)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise MeshopsError(
            f"backup_dir {folder} holds the backup of a purge that has ended ({DONE}), and can't be renamed ({error}):"
            " move it away, or name another folder"
        ) from error
    return moved


def write_backup(folder: str, files: t.Mapping[str, dict]) -> list[str]:
    """Writes the files, each with mode 0600 in folders of mode 0700, and gives their paths.

    What an interrupted purge has written of labels and releases stays as it is: that one saw more. Mesh objects and
    secrets are written anew: what lives is what counts, and what has gone already has its file.

    :raises MeshopsError: the folder can't be written
    """
    paths = []
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for name, document in sorted(files.items()):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            if os.path.exists(path) and not name.startswith(_LIVE):
                continue
            _write(path, document)
            paths.append(path)
    except OSError as error:
        raise MeshopsError(
            f"can't write the backup to backup_dir {folder}: {error.strerror} ({error.filename})"
        ) from error
    return paths


def _write(path: str, document: dict) -> None:
    """Writes a file as a whole or not at all: a purge may be killed at any time."""
    new = f"{path}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        yaml.safe_dump(document, file, sort_keys=False, default_flow_style=False)
    os.replace(new, path)


def close_backup(folder: str, summary: dict) -> None:
    """Marks the backup as that of a purge that has ended."""
    if os.path.isdir(folder):
        _write(os.path.join(folder, DONE), summary)
