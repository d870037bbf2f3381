# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one door to the Kubernetes API: raw JSON over one pool of connections."""

from __future__ import annotations

import dataclasses
import json
import random
import time
import typing as t
import urllib.parse

from ..errors import MeshopsError
from ..reconcile.types import K8sObject
from . import pod_exec
from .connection import connect
from .errors import ApiError, Unreachable
from .kinds import KNOWN, Kind, known, split_api_version

try:
    import urllib3
except ImportError:
    pass  # connect() tells the user

#: Server-side apply owns what this collection writes under this name.
FIELD_MANAGER = "meshops.istio"

_POD = KNOWN["", "Pod"]
_CONTENT_TYPES = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_MISTYPED = "failed to create typed patch object"
#: Seconds within which the server sends the next part of an answer.
_READ_TIMEOUT = 60
_RETRIED = (429, 500, 502, 503, 504)

#: Several objects. The class has a method list, so that its annotations cannot name the type.
Objects = list[K8sObject]


@dataclasses.dataclass(frozen=True)
class PatchOptions:
    """How an object is patched.

    :ivar how: C(merge), C(json) or C(strategic)
    :ivar subresource: the subresource to patch, such as C(status)
    :ivar manager: the field manager that owns what is written
    """

    how: str = "merge"
    subresource: str | None = None
    manager: str = FIELD_MANAGER


@dataclasses.dataclass(frozen=True)
class DeleteOptions:
    """How an object is deleted.

    :ivar propagation: what becomes of its dependents: C(Background), C(Foreground) or C(Orphan)
    :ivar grace: seconds that a pod has to end
    """

    propagation: str = "Background"
    grace: int | None = None


MERGE = PatchOptions()
IN_THE_BACKGROUND = DeleteOptions()


class Cluster:
    """A Kubernetes API server, reached with a module's connection options.

    :param params: a module's parameters (see C(auth.connection_spec))
    :param concurrency: how many requests may be under way at once
    :param retry_time: seconds within which a request is tried again after 429, 5xx or a cut connection
    :ivar retry_until: on the clock C(time.monotonic), until when each request is tried again, instead of retry_time.
        For work of many requests that has a time limit as a whole.
    """

    def __init__(self, params: t.Mapping[str, t.Any], concurrency: int = 16, retry_time: float = 30) -> None:
        if concurrency < 1:
            raise MeshopsError(f"concurrency is {concurrency}: it must be 1 at least")
        self.concurrency = concurrency
        self.retry_time = retry_time
        self.retry_until: float | None = None
        self._answered = False
        self._params = params
        self._connection = connect(params, pool_size=concurrency + 1)  # one request may go beside a pool of threads
        self._pool = self._connection.pool
        self._discovered: dict[str, dict[str, Kind]] = {}
        self._versions: dict[str, list[str]] = {}

    # -- requests ---------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        query: t.Mapping[str, t.Any] | None = None,
        body: t.Any = None,
        content_type: str = "application/json",
        *,
        raw: bool = False,
    ) -> t.Any:
        """Sends one request and gives the decoded JSON answer (or the text, where raw is set).

        What can be sent twice without harm is tried again after a cut connection, 429 (not before the time that
        C(Retry-After) names) and 5xx; a POST only after a refusal that says that nothing was done.

        :raises ApiError: the server refused
        :raises Unreachable: no answer within the retry time
        :raises MeshopsError: what answers is not an API server, or the body can't be sent
        """
        url = self._connection.host.rstrip("/") + path
        if query:
            given = {k: v for k, v in query.items() if v is not None}
            url += "?" + urllib.parse.urlencode(given) if given else ""
        try:
            data = json.dumps(body, allow_nan=False).encode() if body is not None else None
        except ValueError as error:
            raise MeshopsError("it has a number that JSON has no word for (.inf or .nan): quote it") from error
        deadline = self.deadline()
        retried = _RETRIED if method != "POST" else (429, 503)
        pause = 0.1
        while True:
            wait = pause * random.uniform(0.7, 1.3)
            try:
                answer = self._pool.request(
                    method,
                    url,
                    body=data,
                    headers=self._headers(content_type if data is not None else None),
                    timeout=urllib3.Timeout(connect=10, read=_READ_TIMEOUT),
                    retries=False,
                )
            except urllib3.exceptions.HTTPError as error:
                if method == "POST" or self._hopeless(error) or time.monotonic() + wait > deadline:
                    raise Unreachable(self._unreachable(error)) from error
            else:
                self._answered = True
                if answer.status < 400 and raw:
                    return answer.data.decode()
                if (content := _content(answer)) is not None:
                    return content
                if answer.status < 400 or (answer.status not in retried and not raw and _is_page(answer)):
                    raise MeshopsError(self._no_api_server(answer))
                refusal = _refusal(answer)
                wait = max(wait, refusal.retry_after or 0)
                if refusal.status not in retried or time.monotonic() + wait > deadline:
                    raise refusal
            time.sleep(wait)
            pause = min(pause * 2, 5)

    def deadline(self) -> float:
        """Until when a request that begins now is tried again, on the clock C(time.monotonic)."""
        return time.monotonic() + self.retry_time if self.retry_until is None else self.retry_until

    def _hopeless(self, error: Exception) -> bool:
        """Whether trying again is pointless: the certificate isn't trusted, or nobody ever listened there."""
        if isinstance(error, urllib3.exceptions.SSLError):
            return "CERTIFICATE_VERIFY_FAILED" in str(error) or not self._answered
        unheard = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        return isinstance(error, unheard) and not self._answered

    def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = self._connection.headers()
        headers["Accept"] = "application/json"
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    def _unreachable(self, error: Exception) -> str:
        cause = getattr(error, "reason", None) or error
        return (
            f"the API server at {self._connection.host} does not answer ({cause}):"
            " check that the cluster runs and that kubeconfig and context name the right one"
        )

    def _no_api_server(self, answer: t.Any) -> str:
        what = answer.headers.get("Content-Type", "").partition(";")[0] or "no content type"
        target = urllib.parse.urlsplit(answer.headers.get("Location", "")).netloc
        leads = f", which leads to {target}" if target else ""
        return (
            f"{self._connection.host} does not answer as an API server does (HTTP {answer.status}, {what}{leads}):"
            " check that the server address of the kubeconfig, or the option host, leads to the API server itself, and"
            " that no login page or proxy is in between"
        )

    # -- kinds ------------------------------------------------------------

    def kind(self, api_version: str, kind: str) -> Kind:
        """The Kind for an object's apiVersion and kind: from the known table, else by discovery.

        :raises MeshopsError: the server doesn't serve it
        """
        found = known(api_version, kind) or self.discover(api_version).get(kind)
        if found is None:
            raise MeshopsError(
                f"the server has no kind {kind} in {api_version}: check apiVersion and kind,"
                " and that the CustomResourceDefinition is installed"
            )
        return found

    def discover(self, api_version: str) -> dict[str, Kind]:
        """Every kind that the server serves in a group and version; empty where it serves none."""
        if api_version not in self._discovered:
            group, version = split_api_version(api_version)
            path = f"/apis/{group}/{version}" if group else f"/api/{version}"
            try:
                resources = self.request("GET", path)["resources"]
            except ApiError as error:
                if error.status != 404:
                    raise
                return {}
            self._discovered[api_version] = {
                r["kind"]: Kind(group, version, r["kind"], r["name"], r["namespaced"])
                for r in resources
                if "/" not in r["name"]
            }
        return self._discovered[api_version]

    def versions(self, group: str) -> list[str]:
        """The versions in which the server serves an API group, preferred first; empty where it doesn't."""
        if group not in self._versions:
            try:
                answer = self.request("GET", f"/apis/{group}")
            except ApiError as error:
                if error.status != 404:
                    raise
                return []
            preferred = answer["preferredVersion"]["version"]
            others = [v["version"] for v in answer["versions"] if v["version"] != preferred]
            self._versions[group] = [preferred, *others]
        return self._versions[group]

    def kubeconfig(self) -> dict[str, t.Any]:
        """A kubeconfig for another program (Helm) to reach the same cluster as the same user; it may hold secrets."""
        return self._connection.kubeconfig()

    def served(self, kind: Kind) -> Kind | None:
        """The kind in a version that the server serves: the given one, else the server's preferred, else any other.

        :returns: None where the server serves the kind in no version
        """
        if kind.kind in self.discover(kind.api_version):
            return kind
        for version in self.versions(kind.group) if kind.group else []:
            found = self.discover(f"{kind.group}/{version}").get(kind.kind)
            if found is not None:
                return found
        return None

    def forget_kinds(self) -> None:
        """Forgets what discovery found, after CustomResourceDefinitions have changed."""
        self._discovered.clear()
        self._versions.clear()

    def openapi(self, api_version: str) -> dict[str, t.Any]:
        """The OpenAPI v3 document of a group and version; empty where the server has none."""
        path = f"/openapi/v3/apis/{api_version}" if "/" in api_version else f"/openapi/v3/api/{api_version}"
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            return {}

    def server_version(self) -> str:
        """The API server's version, such as C(v1.34.4)."""
        return self.request("GET", "/version")["gitVersion"]

    # -- objects ----------------------------------------------------------

    def get(
        self, kind: Kind, name: str, namespace: str | None = None, not_before: str | None = None
    ) -> dict[str, t.Any] | None:
        """One object, or None where it (or its kind) does not exist.

        :param not_before: a resourceVersion: the server answers from its watch cache, once that has come so far
        """
        try:
            return self.request("GET", kind.path(namespace, name), {"resourceVersion": not_before})
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        page: int = 500,
    ) -> Objects:
        """Every object of a kind, page by page; an unserved kind gives an empty list.

        :param namespace: only in this namespace
        :param labels: a label selector
        :param fields: a field selector
        :param page: objects a request
        """
        try:
            return [obj for page_ in self.pages(kind, namespace, labels, fields, page) for obj in page_]
        except ApiError as error:
            if error.unserved:
                return []
            raise

    def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        page: int = 500,
    ) -> t.Iterator[Objects]:
        """Like C(list), page by page, so that not all objects are in memory at once.

        Where a list is too old to be continued it begins again, so an object may come twice.

        :raises ApiError: also where the kind is unserved (C(unserved))
        """
        more = None
        while True:
            query = {"limit": page, "continue": more, "labelSelector": labels, "fieldSelector": fields}
            try:
                answer = self.request("GET", kind.path(namespace), query)
            except ApiError as error:
                if error.status == 410 and more:  # the list's snapshot has expired
                    more = None
                    continue
                raise
            for item in answer["items"]:
                item["apiVersion"], item["kind"] = kind.api_version, kind.kind
            yield answer["items"]
            more = answer["metadata"].get("continue")
            if not more:
                return

    def apply(
        self, obj: K8sObject, *, force: bool = False, dry_run: bool = False, manager: str = FIELD_MANAGER
    ) -> K8sObject:
        """Server-side apply of one object; gives it as the server has it now.

        :param force: take over fields that other managers own
        :param dry_run: let the server (and its admission webhooks) check, and keep nothing
        """
        meta = obj["metadata"]
        kind = self.kind(obj["apiVersion"], obj["kind"])
        query = {
            "fieldManager": manager,
            "fieldValidation": "Strict",
            "force": "true" if force else "false",
            "dryRun": "All" if dry_run else None,
        }
        path = kind.path(meta.get("namespace"), meta["name"])
        return self.request("PATCH", path, query, obj, _CONTENT_TYPES["apply"])

    def create(self, obj: K8sObject, *, dry_run: bool = False) -> K8sObject:
        """POSTs one object (generateName works); gives it as the server has it now."""
        kind = self.kind(obj["apiVersion"], obj["kind"])
        query = {"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else None}
        return self.request("POST", kind.path(obj["metadata"].get("namespace")), query, obj)

    def patch(
        self,
        kind: Kind,
        name: str,
        patch: t.Any,
        namespace: str | None = None,
        options: PatchOptions = MERGE,
        *,
        dry_run: bool = False,
    ) -> K8sObject:
        """Patches one object; gives it as the server has it now."""
        path = kind.path(namespace, name) + (f"/{options.subresource}" if options.subresource else "")
        query = {"fieldManager": options.manager, "dryRun": "All" if dry_run else None}
        return self.request("PATCH", path, query, patch, _CONTENT_TYPES[options.how])

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        options: DeleteOptions = IN_THE_BACKGROUND,
        *,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, t.Any] | None:
        """Deletes one object; gives None where it was gone already, else the server's answer.

        The answer is the object where something (a finalizer, a pod's grace) still keeps it, and a Status where it
        has gone at once.

        :param uid: refuse where another object has taken the name since
        """
        body: dict[str, t.Any] = {"propagationPolicy": options.propagation}
        if options.grace is not None:
            body["gracePeriodSeconds"] = options.grace
        if uid:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            body["dryRun"] = ["All"]
        try:
            return self.request("DELETE", kind.path(namespace, name), body=body)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    # -- pods -------------------------------------------------------------

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        lines: int | None = 20,
        previous: bool = False,
        since: str | None = None,
    ) -> str:
        """The last lines that a container wrote.

        :param lines: how many; None: all
        :param since: only what was written from this time on (RFC 3339), each line with its time in front
        """
        query = {
            "container": container,
            "tailLines": lines,
            "previous": "true" if previous else None,
            "sinceTime": since,
            "timestamps": "true" if since else None,
        }
        return self.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", query, raw=True)

    def execute(
        self, namespace: str, pod: str, command: t.Sequence[str], container: str | None = None, timeout: float = 30
    ) -> str:
        """Runs a command in a container and gives what it wrote to standard output.

        :raises MeshopsError: it ended with another code than 0, or not in time; the text holds its error output
        """
        path = urllib.parse.urlsplit(self._connection.host).path.rstrip("/") + _POD.path(namespace, pod) + "/exec?"
        query = [("container", container)] if container else []
        query += [("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
        try:
            answers = pod_exec.run(
                self._connection.single(timeout),
                path + urllib.parse.urlencode(query),
                self._connection.headers(),
                timeout,
            )
        except pod_exec.Refused as error:
            text = f"can't run {command[0]} in pod {namespace}/{pod}: {error}"
            raise ApiError(text, status=error.status) from error
        except (urllib3.exceptions.HTTPError, ValueError) as error:  # urllib3's CertificateError is a ValueError
            raise ApiError(f"can't run {command[0]} in pod {namespace}/{pod}: {self._unreachable(error)}") from error
        if answers is None:
            raise MeshopsError(f"{command[0]} in pod {namespace}/{pod} took longer than {timeout} s")
        out, err, ended = (answers.get(channel, "") for channel in (pod_exec.STDOUT, pod_exec.STDERR, pod_exec.STATUS))
        status = json.loads(ended or "{}")
        if status.get("status") == "Success":
            return out
        causes = (status.get("details") or {}).get("causes") or []
        codes = [cause["message"] for cause in causes if cause.get("reason") == "ExitCode"]
        if not codes:
            why = status.get("message") or "the connection was cut"
            raise MeshopsError(f"can't run {command[0]} in pod {namespace}/{pod}: {why}")
        raise MeshopsError(f"{command[0]} in pod {namespace}/{pod} ended with {codes[0]}: {err or out}")


def _content(answer: t.Any) -> dict[str, t.Any] | None:
    """The JSON object that a good answer holds, or None."""
    if answer.status >= 300:
        return None
    try:
        content = json.loads(answer.data)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _is_page(answer: t.Any) -> bool:
    return answer.headers.get("Content-Type", "").startswith("text/html")


def _refusal(answer: t.Any) -> ApiError:
    details: dict[str, t.Any] = {}
    try:
        status = json.loads(answer.data)
        message, reason = status.get("message", ""), status.get("reason", "")
        details = status.get("details") or {}
    except (ValueError, AttributeError):
        message, reason = answer.data.decode(errors="replace").strip()[:500], ""
    after = answer.headers.get("Retry-After", "") or str(details.get("retryAfterSeconds", ""))
    if answer.status == 401:
        message = (
            f"the API server does not accept this login ({message or 'HTTP 401'}): the token or certificate that the"
            " kubeconfig or the connection options name may have expired; log in again"
        )
    mistyped = answer.status == 500 and message.startswith(_MISTYPED)
    return ApiError(
        message or f"HTTP {answer.status}",
        # The server tells of a field that its schema lacks, or of another type, with status 500: no use in retrying.
        status=422 if mistyped else answer.status,
        reason="Invalid" if mistyped else reason,
        causes=details.get("causes") or [],
        retry_after=float(after) if after.isdigit() else None,
        unserved=answer.status == 404 and not details.get("name"),
    )
