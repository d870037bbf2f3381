# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An API server in memory, to be given to product code as its C(Cluster).

    server = ApiServer([obj("Namespace", "shop"), pod()])      # what is there at first
    server.put({...})                                           # another writer, as kubectl apply or a controller is
    server.put({...}, manager="kubectl-client-side-apply")
    server.find("VirtualService", "reviews", "shop")            # the object as stored, or None
    server.refuse(lambda request: ApiError("no", status=403) if request.writes else None)
    server.on_request(lambda request: ...)                      # called before each; another writer may write here
    server.outputs["pod"] = "..."                               # what Cluster.execute and Cluster.logs give
    server.requests, server.writes                              # what was asked for

It is the real C(Cluster) with another C(request): paths, paging, discovery and errors are the product's own code.
What it does as the real one: server-side apply with managedFields and conflicts (see C(ownership)), resourceVersion
conflicts, merge and JSON patches, label and field selectors, pages, dry runs, uid preconditions, finalizers,
deletion of what a deleted object or namespace held, CustomResourceDefinitions that bring kinds, and 404 for a kind
that is not served. What it does not: schemas (nothing is invalid, no defaults are filled in), admission, RBAC (use
C(refuse)), watches.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

from . import ownership

_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?\Z"
)
#: When everything is created.
_CREATED = "2026-01-01T00:00:00Z"
_APPLY = "application/apply-patch+yaml"
_JSON = "application/json-patch+json"


@dataclasses.dataclass(frozen=True)
class Request:
    """One request that was made.

    :ivar path: without the query
    :ivar kind: the kind that the path leads to, None for discovery and the like
    """

    method: str
    path: str
    query: Mapping[str, Any]
    body: Any
    kind: Kind | None = None
    namespace: str | None = None
    name: str | None = None

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        dry = self.query.get("dryRun") or (
            isinstance(self.body, dict) and self.method == "DELETE" and self.body.get("dryRun")
        )
        return self.method != "GET" and not dry


class ApiServer(Cluster):
    """See the module's text.

    :param objects: what is there at first; each without managedFields belongs to the manager C(kubectl-create)
    :param unserved: group and kind of what this server does not serve, of the kinds that the product knows
    :param versions: group -> the versions in which it is served, preferred first; else the one that the product knows
    :param namespaces: whether objects need a namespace that exists
    """

    def __init__(
        self,
        objects: Iterable[Mapping[str, Any]] = (),
        *,
        unserved: Iterable[tuple[str, str]] = (),
        versions: Mapping[str, Sequence[str]] | None = None,
        namespaces: bool = False,
        documents: Mapping[str, Any] | None = None,
        concurrency: int = 2,
    ) -> None:
        # Not the real one's: that connects.
        self.concurrency = concurrency
        self.retry_time = 0.0
        self.retry_until = None
        self.forget_kinds_count = 0
        self._discovered: dict[str, dict[str, Kind]] = {}
        self._versions: dict[str, list[str]] = {}
        self.requests: list[Request] = []
        self.outputs: dict[str, str] = {}
        self.documents = dict(documents or {})
        self._unserved = set(unserved)
        self._served_versions = dict(versions or {})
        self._namespaces = namespaces
        self._objects: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self._refusals: list[Callable[[Request], Exception | None]] = []
        self._hooks: list[Callable[[Request], object]] = []
        self._count = 0
        self._lock = threading.RLock()
        for obj in objects:
            self.put(obj, manager="kubectl-create")

    # -- for tests ----------------------------------------------------------

    def put(self, obj: Mapping[str, Any], manager: str = "somebody") -> dict[str, Any]:
        """Writes an object as another manager would: creates it, or replaces it whole, status included."""
        with self._lock:
            new = copy.deepcopy(dict(obj))
            kind = self._kind_of(new["apiVersion"], new["kind"])
            key = self._key(kind, new["metadata"].get("namespace"), new["metadata"]["name"])
            live = self._objects.get(key)
            if "managedFields" not in new["metadata"]:
                new = ownership.update(live, new, manager)
            return self._store(key, live, new)

    def find(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object of that kind, as stored, or None."""
        for (_group, stored, where, called), obj in self._objects.items():
            if (stored, called) == (kind, name) and where == (namespace or ""):
                return copy.deepcopy(obj)
        return None

    def all(self, *kinds: str) -> list[str]:
        """What is there, as ``Kind namespace/name``, sorted; of all kinds where none is named."""
        return sorted(
            f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
            for (_group, kind, namespace, name) in self._objects
            if not kinds or kind in kinds
        )

    def refuse(self, refusal: Callable[[Request], Exception | None]) -> None:
        """Asks C(refusal) of each request; what it gives is raised."""
        self._refusals.append(refusal)

    def on_request(self, hook: Callable[[Request], object]) -> None:
        """Calls C(hook) before each request is answered."""
        self._hooks.append(hook)

    @property
    def writes(self) -> list[str]:
        """The writing requests, as C(METHOD path)."""
        return [f"{request.method} {request.path}" for request in self.requests if request.writes]

    # -- Cluster ------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        *,
        raw: bool = False,
    ) -> Any:
        path, _mark, inline = path.partition("?")
        given = {**dict(urllib.parse.parse_qsl(inline)), **{k: v for k, v in (query or {}).items() if v is not None}}
        found = _PATH.match(path)
        where: dict[str, Any] = found.groupdict() if found else {}
        kind = (
            self._by_plural(where["group"] or "", where["core"] or where["version"], where["plural"]) if found else None
        )
        made = Request(method, path, given, copy.deepcopy(body), kind, where.get("namespace"), where.get("name"))
        with self._lock:
            self.requests.append(made)
            for hook in self._hooks:
                hook(made)
            for refusal in self._refusals:
                if error := refusal(made):
                    raise error
            if kind is None:
                return self._other(path)
            if where["subresource"] == "log":
                return self.outputs.get(where["name"], "")
            return copy.deepcopy(self._answer(made, where["subresource"], content_type))

    def deadline(self) -> float:
        return 0.0

    def kubeconfig(self) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Config", "clusters": []}

    def execute(
        self, namespace: str, pod: str, command: Sequence[str], container: str | None = None, timeout: float = 30
    ) -> str:
        if pod not in self.outputs:
            raise MeshopsError(f"can't run {command[0]} in pod {namespace}/{pod}: no output is set for it")
        return self.outputs[pod]

    # -- kinds ----------------------------------------------------------------

    def _all_kinds(self) -> list[Kind]:
        kinds = []
        for kind in KNOWN.values():
            if (kind.group, kind.kind) not in self._unserved:
                versions = self._served_versions.get(kind.group, [kind.version])
                kinds += [dataclasses.replace(kind, version=version) for version in versions]
        for obj in self._objects.values():
            if obj["kind"] == "CustomResourceDefinition":
                spec = obj["spec"]
                names, namespaced = spec["names"], spec["scope"] == "Namespaced"
                kinds += [
                    Kind(spec["group"], version["name"], names["kind"], names["plural"], namespaced)
                    for version in spec["versions"]
                    if version.get("served", True)
                ]
        return kinds

    def _kind_of(self, api_version: str, kind: str) -> Kind:
        found = next((k for k in self._all_kinds() if (k.api_version, k.kind) == (api_version, kind)), None)
        assert found, f"this server does not serve {kind} in {api_version}"
        return found

    def _by_plural(self, group: str, version: str, plural: str) -> Kind | None:
        return next((k for k in self._all_kinds() if (k.group, k.version, k.plural) == (group, version, plural)), None)

    def _other(self, path: str) -> Any:
        if path == "/version":
            return {"gitVersion": "v1.34.0", "major": "1", "minor": "34"}
        if path.startswith("/openapi/v3/"):
            document = self.documents.get(path.removeprefix("/openapi/v3/apis/").removeprefix("/openapi/v3/api/"))
            if document is not None:
                return document
            raise ApiError("not found", status=404, reason="NotFound", unserved=True)
        steps = path.strip("/").split("/")
        kinds = self._all_kinds()
        if steps[0] == "apis" and len(steps) == 1:
            groups = dict.fromkeys(kind.group for kind in kinds if kind.group)
            return {"groups": [self._group(group, kinds) for group in groups]}
        if steps[0] == "apis" and len(steps) == 2 and any(kind.group == steps[1] for kind in kinds):
            return self._group(steps[1], kinds)
        api_version = "/".join(steps[1:])
        served = [kind for kind in kinds if kind.api_version == api_version] if steps[0] in ("api", "apis") else []
        if served:
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            return {
                "groupVersion": api_version,
                "resources": [
                    {"kind": kind.kind, "name": kind.plural, "namespaced": kind.namespaced, "verbs": verbs}
                    for kind in served
                ],
            }
        raise ApiError("the server could not find the requested resource", status=404, reason="NotFound", unserved=True)

    def _group(self, group: str, kinds: list[Kind]) -> dict[str, Any]:
        versions = list(dict.fromkeys(kind.version for kind in kinds if kind.group == group))
        listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
        return {"name": group, "versions": listed, "preferredVersion": listed[0]}

    # -- objects ----------------------------------------------------------------

    def _key(self, kind: Kind, namespace: str | None, name: str) -> tuple[str, str, str, str]:
        return kind.group, kind.kind, (namespace or "") if kind.namespaced else "", name

    def _answer(self, request: Request, subresource: str | None, content_type: str) -> dict[str, Any]:
        kind, name = request.kind, request.name
        assert kind is not None
        if name is None:
            return self._create(request, kind) if request.method == "POST" else self._list(request, kind)
        key = self._key(kind, request.namespace, name)
        live = self._objects.get(key)
        if request.method == "PATCH" and content_type == _APPLY:
            return self._apply(request, kind, key, live, subresource)
        if live is None:
            raise self._missing(kind, name)
        if request.method == "GET":
            return self._shown(live, kind)
        if request.method == "DELETE":
            return self._delete(request, key, live, kind)
        if request.method == "PUT":
            new = copy.deepcopy(request.body)
        elif content_type == _JSON:
            new = _patched(self._shown(live, kind), request.body)
        else:
            new = _merged(self._shown(live, kind), request.body)
        self._check_version(kind, live, new)
        if subresource:
            new = {**live, subresource: new.get(subresource)}
        elif "status" in live or "status" in new:
            new = {k: v for k, v in new.items() if k != "status"}
            new |= {"status": live["status"]} if "status" in live else {}
        new = ownership.update(live, new, request.query.get("fieldManager", "unknown"), subresource)
        return self._finish(request, key, live, new, kind)

    def _missing(self, kind: Kind, name: str) -> ApiError:
        where = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        return ApiError(f'{where} "{name}" not found', status=404, reason="NotFound")

    def _check_version(self, kind: Kind, live: dict[str, Any] | None, new: dict[str, Any]) -> None:
        asked = new["metadata"].get("resourceVersion")
        if live is not None and asked and asked != live["metadata"]["resourceVersion"]:
            raise ApiError(
                f'Operation cannot be fulfilled on {kind.plural} "{live["metadata"]["name"]}": the object has been'
                " modified; please apply your changes to the latest version and try again",
                status=409,
                reason="Conflict",
            )

    def _check_namespace(self, request: Request, kind: Kind) -> None:
        if self._namespaces and kind.namespaced and ("", "Namespace", "", request.namespace) not in self._objects:
            raise ApiError(f'namespaces "{request.namespace}" not found', status=404, reason="NotFound")

    def _create(self, request: Request, kind: Kind) -> dict[str, Any]:
        new = {"apiVersion": kind.api_version, "kind": kind.kind, **copy.deepcopy(request.body)}
        meta = new["metadata"] = dict(new["metadata"])
        self._check_namespace(request, kind)
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{self._count:05}"
        if kind.namespaced:
            meta["namespace"] = request.namespace
        key = self._key(kind, request.namespace, meta["name"])
        if key in self._objects:
            raise ApiError(f'{kind.plural} "{meta["name"]}" already exists', status=409, reason="AlreadyExists")
        meta.pop("resourceVersion", None)
        new = ownership.update(None, new, request.query.get("fieldManager", "unknown"))
        return self._finish(request, key, None, new, kind)

    def _apply(
        self,
        request: Request,
        kind: Kind,
        key: tuple[str, str, str, str],
        live: dict[str, Any] | None,
        subresource: str | None,
    ) -> dict[str, Any]:
        want = copy.deepcopy(request.body)
        self._check_namespace(request, kind)
        if live is not None and live["apiVersion"] != want["apiVersion"]:
            live = {**live, "apiVersion": want["apiVersion"]}
        self._check_version(kind, live, want)
        want["metadata"].pop("resourceVersion", None)
        uid = want["metadata"].get("uid")
        if uid and (live is None or live["metadata"]["uid"] != uid):
            raise ApiError("uid mismatch", status=409, reason="Conflict")
        if kind.namespaced:
            want["metadata"]["namespace"] = request.namespace
        if not subresource:
            want.pop("status", None)
        force = str(request.query.get("force", "")).lower() == "true"
        try:
            new = ownership.apply(live, want, request.query["fieldManager"], force, subresource)
        except ownership.Invalid as error:
            raise ApiError(f"failed to create typed patch object: {error}", status=422, reason="Invalid") from error
        except ownership.Conflict as error:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{manager}" using {want["apiVersion"]}',
                    "field": ownership.text(path),
                }
                for manager, paths in error.owners.items()
                for path in paths
            ]
            raise ApiError(
                f"Apply failed with {len(causes)} conflicts", status=409, reason="Conflict", causes=causes
            ) from error
        return self._finish(request, key, live, new, kind)

    def _finish(
        self,
        request: Request,
        key: tuple[str, str, str, str],
        live: dict[str, Any] | None,
        new: dict[str, Any],
        kind: Kind,
    ) -> dict[str, Any]:
        if request.query.get("dryRun"):
            created = {"uid": "dry", "creationTimestamp": _CREATED}
            meta = {**(live["metadata"] if live else created), **new["metadata"]}
            return {**new, "metadata": meta}
        return self._shown(self._store(key, live, new), kind)

    def _store(
        self, key: tuple[str, str, str, str], live: dict[str, Any] | None, new: dict[str, Any]
    ) -> dict[str, Any]:
        old = dict(live["metadata"]) if live else {}
        meta = {**new["metadata"]}
        for name in ("uid", "creationTimestamp", "deletionTimestamp"):
            if name in old:
                meta[name] = old[name]
        meta.setdefault("uid", f"uid-{self._count + 1}")
        meta.setdefault("creationTimestamp", _CREATED)
        meta["generation"] = old.get("generation", meta.get("generation", 1))
        meta["resourceVersion"] = old.get("resourceVersion", "")
        new = {**new, "metadata": meta}
        if live is not None and new == {**live, "apiVersion": new["apiVersion"]}:
            return live
        if live is not None and new.get("spec") != live.get("spec"):
            meta["generation"] += 1
        self._count += 1
        meta["resourceVersion"] = str(self._count)
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self._objects.pop(key, None)
        else:
            self._objects[key] = new
        return new

    def _delete(
        self, request: Request, key: tuple[str, str, str, str], live: dict[str, Any], kind: Kind
    ) -> dict[str, Any]:
        body = request.body or {}
        wanted = (body.get("preconditions") or {}).get("uid")
        if wanted and wanted != live["metadata"]["uid"]:
            raise ApiError(
                f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {live['metadata']['uid']}",
                status=409,
                reason="Conflict",
            )
        if body.get("dryRun") or request.query.get("dryRun"):
            return self._shown(live, kind)
        if live["metadata"].get("finalizers"):
            meta = {**live["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
            self._count += 1
            meta["resourceVersion"] = str(self._count)
            self._objects[key] = {**live, "metadata": meta}
            return self._shown(self._objects[key], kind)
        self._drop(key)
        return {"kind": "Status", "status": "Success"}

    def _drop(self, key: tuple[str, str, str, str]) -> None:
        """Deletes an object, and what it held: a namespace's objects, and those whose only owner it was."""
        gone = self._objects.pop(key, None)
        if gone is None:
            return
        self._count += 1
        uid = gone["metadata"]["uid"]
        for other, obj in list(self._objects.items()):
            owners = obj["metadata"].get("ownerReferences") or []
            if (key[1] == "Namespace" and not key[0] and other[2] == key[3]) or any(
                o.get("uid") == uid for o in owners
            ):
                self._drop(other)

    def _list(self, request: Request, kind: Kind) -> dict[str, Any]:
        found = [
            self._shown(obj, kind)
            for (group, stored, namespace, _name), obj in sorted(self._objects.items())
            if (group, stored) == (kind.group, kind.kind) and request.namespace in (None, namespace)
        ]
        chosen = [obj for obj in found if _selected(obj, request.query)]
        begin, size = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0) or len(chosen)
        rest = {"continue": str(begin + size)} if begin + size < len(chosen) else {}
        items = [{k: v for k, v in o.items() if k not in ("apiVersion", "kind")} for o in chosen[begin : begin + size]]
        return {"metadata": {"resourceVersion": str(self._count), **rest}, "items": items}

    def _shown(self, obj: dict[str, Any], kind: Kind) -> dict[str, Any]:
        return {**copy.deepcopy(obj), "apiVersion": kind.api_version}


def _selected(obj: dict[str, Any], query: Mapping[str, Any]) -> bool:
    labels = obj["metadata"].get("labels") or {}
    terms = re.findall(r"(?:[^,(]|\([^)]*\))+", query.get("labelSelector") or "")
    fields = [term for term in (query.get("fieldSelector") or "").split(",") if term]
    return all(_has_label(labels, term.strip()) for term in terms) and all(_has_field(obj, term) for term in fields)


def _has_label(labels: Mapping[str, str], term: str) -> bool:
    if match := re.fullmatch(r"(\S+) (in|notin) \(([^)]*)\)", term):
        name, how, values = match.groups()
        return (labels.get(name) in [v.strip() for v in values.split(",")]) == (how == "in")
    if term.startswith("!"):
        return term[1:] not in labels
    if "!=" in term:
        name, _sign, value = term.partition("!=")
        return labels.get(name) != value
    name, sign, value = term.replace("==", "=").partition("=")
    return labels.get(name) == value if sign else name in labels


def _has_field(obj: Mapping[str, Any], term: str) -> bool:
    path, sign, value = re.split(r"(!?=)=?", term, maxsplit=1)
    found: Any = functools.reduce(lambda at, step: (at or {}).get(step), path.split("."), obj)
    return (str(found or "") == value) == (sign == "=")


def _merged(value: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386). Of a strategic one it is what can be done without schemas."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    made = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), part)
    return made


def _patched(obj: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """A JSON patch (RFC 6902): test, add, replace, remove."""
    made = copy.deepcopy(obj)
    for operation in operations:
        *way, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        holder: Any = made
        try:
            for step in way:
                holder = holder[int(step)] if isinstance(holder, list) else holder[step]
            at: Any = last
            if isinstance(holder, list):
                at = len(holder) if last == "-" else int(last)
            if operation["op"] in ("remove", "replace", "test"):
                holder[at]  # has to be there
            if operation["op"] == "test" and holder[at] != operation["value"]:
                raise ApiError("testing value failed", status=422, reason="Invalid")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ApiError(
                f"the server rejected our request: {operation['path']}", status=422, reason="Invalid"
            ) from error
        if operation["op"] == "remove":
            del holder[at]
        elif operation["op"] == "add" and isinstance(holder, list):
            holder.insert(at, copy.deepcopy(operation["value"]))
        elif operation["op"] in ("add", "replace"):
            holder[at] = copy.deepcopy(operation["value"])
    return made
