# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Job that takes faults out when their time is over, whatever has become of who put them in.

It needs no image of its own: a shell, curl and sleep are in Istio's proxy image, which is on the nodes anyway.
Its ServiceAccount may do nothing but read, patch (or delete) the one VirtualService. Everything belongs to the
Job, so that it all goes with it.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from ..mesh.pods import proxy_container
from ..reconcile.types import K8sObject

#: On a guard's objects: which VirtualService it is for.
LABEL = "meshops.istio/fault-injection-guard"
#: Extra room in the list of routes, where others have added some since.
_OTHERS_ROUTES = 32
_NO_LIMIT = 2**31 - 1

_ASK = r"""
set -u
credentials=/var/run/secrets/kubernetes.io/serviceaccount
ask() {
  curl --silent --show-error --output /dev/null --write-out '%{http_code}' --max-time 30 \
    --cacert $credentials/ca.crt --header @- --request "$1" --header "Content-Type: $2" --data "$3" "$URL" <<END
Authorization: Bearer $(cat $credentials/token)
END
}
look() {
  curl --silent --show-error --fail --max-time 30 --cacert $credentials/ca.crt --header @- "$URL" <<END
Authorization: Bearer $(cat $credentials/token)
END
}
"""
# The VirtualService may not be there yet.
_REACHED = (
    _ASK
    + r"""
code=$(ask GET application/json '')
case $code in 200|404) exit 0 ;; esac
echo "the guard needs the API server, which answers HTTP $code (000 is no answer)"
exit 1
"""
)
# Each marked route is looked for by its name (that of a route of connections is the host that it leads to) at every
# index, and removed only where the name is still there: the test and the removal are one request, so nothing that
# others have written can be lost. Where there was none, but the annotation is there, it is tried again.
_SCRIPT = (
    _ASK
    + r"""
curl --version > /dev/null || exit 1
until [ "$(date +%s)" -ge "$DEADLINE" ]; do sleep 1; done
if [ -n "$DELETE" ]; then
  # A PATCH would need istiod's webhook, a GET doesn't.
  code=$(ask GET application/json '')
  case $code in 200) ;; 404) exit 0 ;; *) echo "get: $code"; exit 1 ;; esac
  live=$(look) || exit 1
  case $live in *'"meshops.istio/fault-injection":'*) ;; *) echo "it is not ours any more"; exit 0 ;; esac
  version=$(printf '%s\n' "$live" | sed -n 's/.*"resourceVersion": *"\([0-9]*\)".*/\1/p' | head -n 1)
  [ -n "$version" ] || exit 1
  code=$(ask DELETE application/json "{\"preconditions\":{\"resourceVersion\":\"$version\"}}")
  echo "delete: $code"
  case $code in 200|202|404) exit 0 ;; *) exit 1 ;; esac
fi
removed=
for route in $ROUTES; do
  section=${route%%/*} name=${route#*/} said=name i=0
  [ "$section" = http ] || { name=$name.invalid said=route/0/destination/host; }
  while [ $i -lt "$LIMIT" ]; do
    at="/spec/$section/$i"
    code=$(ask PATCH application/json-patch+json \
      "[{\"op\":\"test\",\"path\":\"$at/$said\",\"value\":\"$name\"},{\"op\":\"remove\",\"path\":\"$at\"}]")
    case $code in
      200) echo "removed $route"; removed=yes; break ;;
      404) exit 0 ;;
      422) i=$((i + 1)) ;;
      *) echo "$route: HTTP $code"; exit 1 ;;
    esac
  done
done
for section in $MADE; do
  at="/spec/$section"
  code=$(ask PATCH application/json-patch+json \
    "[{\"op\":\"test\",\"path\":\"$at\",\"value\":[]},{\"op\":\"remove\",\"path\":\"$at\"}]")
  echo "$at: $code"
done
code=$(ask PATCH application/json-patch+json "$LEAVE")
echo "leave: $code"
[ "$code" != 200 ] && [ -z "$removed" ] || exit 0
code=$(ask PATCH application/json-patch+json "$STAYS")
echo "nothing to remove, annotation: $code"
case $code in 404|422) exit 0 ;; *) exit 1 ;; esac
"""
)


def guard_key(namespace: str, name: str) -> str:
    """The value of LABEL for a VirtualService."""
    return hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()[:16]


def guard_job(
    virtual_service: t.Mapping[str, t.Any],
    deadline: int,
    image: str,
    routes: t.Sequence[str],
    made: t.Sequence[str],
    limit: int,
    leave: list[K8sObject],
    stays: list[K8sObject],
    path: str,
    delete: bool,
    user: int | None,
) -> K8sObject:
    """The Job, suspended until the objects of guard_rights() are there.

    :param virtual_service: its C(name) and C(namespace)
    :param deadline: seconds since 1970 at which the faults go
    :param image: has sh, date, sleep, cat and curl
    :param routes: C(section/name) of the routes to remove
    :param made: sections of the spec to remove when they are empty
    :param limit: how many routes a section of the VirtualService has at most
    :param leave: JSON patch that makes its metadata what it was
    :param stays: JSON patch that succeeds while its metadata says that faults are there
    :param path: of the VirtualService at the API server
    :param delete: whether it was made for the faults, and is to be deleted with them
    :param user: the user id to run as, None where the cluster chooses
    """
    name, namespace = virtual_service["name"], virtual_service["namespace"]
    own = guard_name(name, namespace, deadline)
    labels = {
        "app.kubernetes.io/name": "fault-injection-guard",
        "app.kubernetes.io/managed-by": "meshops.istio",
        LABEL: guard_key(namespace, name),
    }
    environment = {
        "URL": f"https://kubernetes.default.svc{path}",
        "DEADLINE": str(deadline),
        "DELETE": "yes" if delete else "",
        "ROUTES": " ".join(routes),
        "MADE": " ".join(made),
        "LIMIT": str(limit + _OTHERS_ROUTES),
        "LEAVE": json.dumps(leave),
        "STAYS": json.dumps(stays),
    }
    container = {
        "name": "guard",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SCRIPT],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        # It counts as started when it has reached the API server, as it will have to.
        "startupProbe": {
            "exec": {"command": ["sh", "-c", _REACHED]},
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
            **({"runAsUser": user} if user else {}),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": own, "namespace": namespace, "labels": labels},
        "spec": {
            "suspend": True,
            # While istiod's webhook or the API server doesn't answer, each attempt fails, and kubelet starts another
            # one (within 5 minutes). The Job never gives up: the faults would remain for good.
            "backoffLimit": _NO_LIMIT,
            "ttlSecondsAfterFinished": 60,
            "template": {
                "metadata": {
                    # The guard talks to the API server alone and has to end: no sidecar.
                    "labels": {**labels, "sidecar.istio.io/inject": "false"},
                    "annotations": {"sidecar.istio.io/inject": "false"},
                },
                "spec": {"serviceAccountName": own, "restartPolicy": "OnFailure", "containers": [container]},
            },
        },
    }


def guard_rights(job: t.Mapping[str, t.Any], virtual_service: str, uid: str) -> list[K8sObject]:
    """What the Job needs beside it and owns: a ServiceAccount, a Role for the one VirtualService, and a way out.

    Where NetworkPolicies keep the namespace's pods inside the cluster, the guard would not reach the API server.
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


def guard_name(virtual_service: str, namespace: str, deadline: int) -> str:
    """A name of its own for each VirtualService and deadline, within 63 characters."""
    start = virtual_service[:20].rstrip("-.").replace(".", "-")
    return f"fault-guard-{start}-{guard_key(namespace, virtual_service)[:8]}-{deadline:x}"


def guard_image(pods: t.Iterable[t.Mapping[str, t.Any]]) -> str | None:
    """The proxy image that the mesh's pods run, None where none of them has a shell.

    :param pods: any number of pods; those with a container istio-proxy count
    """
    for pod in pods:
        proxy = proxy_container(pod)
        if proxy and "distroless" not in proxy["image"]:
            return str(proxy["image"])
    return None
