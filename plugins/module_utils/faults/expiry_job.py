# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The expiry Job: removes faults when their duration is over, even if the run that injected them was killed.

It needs no image of its own: a shell, curl and sleep are in Istio's proxy image, which is on the nodes already.
Its ServiceAccount can only read, patch and delete the one VirtualService. The Job owns everything that it needs,
so that deleting the Job deletes all of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ..cluster.edit import Operation
from ..mesh.pods import proxy_container
from ..reconcile.types import K8sObject

#: Label of an expiry Job's objects: identifies the VirtualService, see expiry_key().
LABEL = "meshops.istio/fault-injection-expiry"
#: How many routes others may add to a section while the faults are injected.
_ADDED_ROUTES = 32
_NO_LIMIT = 2**31 - 1
_NAME_PREFIX = "fault-expiry-"

_REQUEST = r"""
set -u
credentials=/var/run/secrets/kubernetes.io/serviceaccount
request() {
  curl --silent --show-error --output /dev/null --write-out '%{http_code}' --max-time 30 \
    --cacert $credentials/ca.crt --header @- --request "$1" --header "Content-Type: $2" --data "$3" "$URL" <<END
Authorization: Bearer $(cat $credentials/token)
END
}
read_object() {
  curl --silent --show-error --fail --max-time 30 --cacert $credentials/ca.crt --header @- "$URL" <<END
Authorization: Bearer $(cat $credentials/token)
END
}
"""
# The VirtualService may not exist yet.
_PROBE = (
    _REQUEST
    + r"""
code=$(request GET application/json '')
case $code in 200|404) exit 0 ;; esac
echo "the API server answers HTTP $code (000: no answer)"
exit 1
"""
)
# Searches each marked route by its name (a connection route's name is its destination host) at every index. One request
# tests the name and removes the route, so that no write of others is lost. If it removed no route although the
# annotation is still there, the Job fails and kubelet starts it again.
_SCRIPT = (
    _REQUEST
    + r"""
curl --version > /dev/null || exit 1
until [ "$(date +%s)" -ge "$DEADLINE" ]; do sleep 1; done
if [ -n "$DELETE" ]; then
  # A PATCH would need istiod's webhook, a GET does not.
  code=$(request GET application/json '')
  case $code in 200) ;; 404) exit 0 ;; *) echo "get: $code"; exit 1 ;; esac
  live=$(read_object) || exit 1
  case $live in *'"meshops.istio/fault-injection":'*) ;; *) echo "not annotated: retained"; exit 0 ;; esac
  version=$(printf '%s\n' "$live" | sed -n 's/.*"resourceVersion": *"\([0-9]*\)".*/\1/p' | head -n 1)
  [ -n "$version" ] || exit 1
  code=$(request DELETE application/json "{\"preconditions\":{\"resourceVersion\":\"$version\"}}")
  echo "delete: $code"
  case $code in 200|202|404) exit 0 ;; *) exit 1 ;; esac
fi
removed=
for route in $ROUTES; do
  section=${route%%/*} name=${route#*/} field=name i=0
  [ "$section" = http ] || { name=$name.invalid field=route/0/destination/host; }
  while [ $i -lt "$LIMIT" ]; do
    at="/spec/$section/$i"
    code=$(request PATCH application/json-patch+json \
      "[{\"op\":\"test\",\"path\":\"$at/$field\",\"value\":\"$name\"},{\"op\":\"remove\",\"path\":\"$at\"}]")
    case $code in
      200) echo "removed $route"; removed=yes; break ;;
      404) exit 0 ;;
      422) i=$((i + 1)) ;;
      *) echo "$route: HTTP $code"; exit 1 ;;
    esac
  done
done
for section in $ADDED_SECTIONS; do
  at="/spec/$section"
  code=$(request PATCH application/json-patch+json \
    "[{\"op\":\"test\",\"path\":\"$at\",\"value\":[]},{\"op\":\"remove\",\"path\":\"$at\"}]")
  echo "$at: $code"
done
code=$(request PATCH application/json-patch+json "$RESTORE_PATCH")
echo "restore: $code"
[ "$code" != 200 ] && [ -z "$removed" ] || exit 0
code=$(request PATCH application/json-patch+json "$ANNOTATION_TEST")
echo "no route removed, annotation: $code"
case $code in 404|422) exit 0 ;; *) exit 1 ;; esac
"""
)


@dataclasses.dataclass(frozen=True)
class ExpiryJobOptions:
    """What an expiry Job needs to know.

    :ivar namespace: the namespace of the VirtualService, and of the Job
    :ivar name: the name of the VirtualService
    :ivar path: the path of the VirtualService at the API server
    :ivar deadline: when to remove the faults, in seconds since 1970
    :ivar image: an image with sh, date, sleep, cat, sed, head and curl
    :ivar routes: the routes to remove, each as C(section/name)
    :ivar added_sections: sections of the spec to remove when they are empty
    :ivar limit: the largest number of routes in a section of the VirtualService
    :ivar restore_patch: JSON patch that restores its metadata
    :ivar annotation_test: JSON patch that succeeds while its metadata still records faults
    :ivar delete: whether the VirtualService was created for the faults and is deleted with them
    :ivar user: the user id to run as, None where the cluster chooses
    """

    namespace: str
    name: str
    path: str
    deadline: int
    image: str
    routes: t.Sequence[str]
    added_sections: t.Sequence[str]
    limit: int
    restore_patch: list[Operation]
    annotation_test: list[Operation]
    delete: bool = False
    user: int | None = None


def expiry_key(namespace: str, name: str) -> str:
    """The value of LABEL for a VirtualService."""
    return hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:16]


def expiry_job_name(namespace: str, virtual_service: str, deadline: int) -> str:
    """A name that is unique to a VirtualService and deadline, of at most 57 characters.

    A pod's name adds six characters to it.
    """
    start = virtual_service[:20].rstrip("-.").replace(".", "-")
    return f"{_NAME_PREFIX}{start}-{expiry_key(namespace, virtual_service)[:8]}-{deadline:x}"


def is_expiry_job(owner: t.Mapping[str, t.Any]) -> bool:
    """Whether an owner reference is to an expiry Job."""
    return owner.get("kind") == "Job" and str(owner.get("name")).startswith(_NAME_PREFIX)


def expiry_job(options: ExpiryJobOptions) -> K8sObject:
    """The Job, suspended until the objects of expiry_objects() exist."""
    name = expiry_job_name(options.namespace, options.name, options.deadline)
    labels = {
        "app.kubernetes.io/name": "fault-injection-expiry",
        "app.kubernetes.io/managed-by": "meshops.istio",
        LABEL: expiry_key(options.namespace, options.name),
    }
    environment = {
        "URL": f"https://kubernetes.default.svc{options.path}",
        "DEADLINE": str(options.deadline),
        "DELETE": "yes" if options.delete else "",
        "ROUTES": " ".join(options.routes),
        "ADDED_SECTIONS": " ".join(options.added_sections),
        "LIMIT": str(options.limit + _ADDED_ROUTES),
        "RESTORE_PATCH": json.dumps(options.restore_patch),
        "ANNOTATION_TEST": json.dumps(options.annotation_test),
    }
    container = {
        "name": "expiry",
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SCRIPT],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        # The pod is ready when it has reached the API server, which it needs to remove the faults.
        "startupProbe": {
            "exec": {"command": ["sh", "-c", _PROBE]},
            "periodSeconds": 1,
            "timeoutSeconds": 35,
            "failureThreshold": 300,
        },
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            **({"runAsUser": options.user} if options.user else {}),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": options.namespace, "labels": labels},
        "spec": {
            "suspend": True,
            # While istiod's webhook or the API server does not answer, each attempt fails, and kubelet starts another
            # one (within 5 minutes). The Job never gives up: otherwise the faults would remain for good.
            "backoffLimit": _NO_LIMIT,
            "ttlSecondsAfterFinished": 60,
            "template": {
                "metadata": {
                    # The Job talks to the API server only and has to end: no sidecar.
                    "labels": {**labels, "sidecar.istio.io/inject": "false"},
                    "annotations": {"sidecar.istio.io/inject": "false"},
                },
                "spec": {"serviceAccountName": name, "restartPolicy": "OnFailure", "containers": [container]},
            },
        },
    }


def expiry_objects(job: K8sObject, virtual_service: str, uid: str) -> list[K8sObject]:
    """The objects that the Job needs and owns: ServiceAccount, Role, RoleBinding and NetworkPolicy.

    The NetworkPolicy lets the Job's pod reach the API server where other policies keep the namespace's pods inside
    the cluster.

    :param uid: of the Job
    """
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    meta = {
        "name": name,
        "namespace": namespace,
        "labels": job["metadata"]["labels"],
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}],
    }
    rbac = "rbac.authorization.k8s.io"
    rule = {
        "apiGroups": ["networking.istio.io"],
        "resources": ["virtualservices"],
        "resourceNames": [virtual_service],
        "verbs": ["get", "patch", "delete"],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": meta,
            "spec": {
                "podSelector": {"matchLabels": {LABEL: job["metadata"]["labels"][LABEL]}},
                "policyTypes": ["Egress"],
                "egress": [{}],
            },
        },
    ]


def expiry_image(pods: t.Iterable[K8sObject]) -> str | None:
    """The proxy image of the mesh's pods, None where none of them has a shell.

    :param pods: any pods; those with a container istio-proxy count
    """
    for pod in pods:
        proxy = proxy_container(pod)
        if proxy and "distroless" not in proxy["image"]:
            return str(proxy["image"])
    return None
