# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.faults.expiry_job import (
    ExpiryJobOptions,
    expiry_image,
    expiry_job,
    expiry_job_name,
    expiry_objects,
)


def job(**options):
    usual = {
        "namespace": "demo", "name": "echo", "path": "/apis/x", "deadline": 10, "image": "proxy",
        "routes": ["http/a", "tcp/b"], "added_sections": ["tcp"], "limit": 3,
        "restore_patch": [{"op": "remove", "path": "/x"}], "annotation_test": [{"op": "test", "path": "/annotation"}],
    }  # fmt: skip
    return expiry_job(ExpiryJobOptions(**{**usual, **options}))


def test_job_never_gives_up():
    spec = job()["spec"]
    assert "activeDeadlineSeconds" not in spec and spec["backoffLimit"] > 10**6


def test_role_of_the_job_covers_one_virtual_service_and_belongs_to_the_job():
    objects = expiry_objects(job(), "echo", "the-uid")
    assert [obj["kind"] for obj in objects] == ["ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"]
    assert all(obj["metadata"]["ownerReferences"][0]["uid"] == "the-uid" for obj in objects)
    assert objects[1]["rules"] == [
        {
            "apiGroups": ["networking.istio.io"],
            "resources": ["virtualservices"],
            "resourceNames": ["echo"],
            "verbs": ["get", "patch", "delete"],
        }
    ]
    labels = job()["spec"]["template"]["metadata"]["labels"]
    assert objects[3]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert objects[3]["spec"]["egress"] == [{}], "it reaches the API server where the namespace's pods may not"


@pytest.mark.parametrize("name", ["echo", "a" * 253, "reviews.example.com"])
def test_name_of_the_job_is_valid(name):
    own = expiry_job_name("demo", name, 2**33)
    assert len(own) <= 63 - 6 and own == own.lower() and "." not in own


def test_image_is_that_of_a_proxy_with_a_shell():
    def pod(image, where="containers"):
        spec = {"containers": [{"name": "app", "image": "app"}], "initContainers": []}
        spec[where].append({"name": "istio-proxy", "image": image})
        return {"spec": spec}

    assert expiry_image([pod("proxyv2:1-distroless"), pod("proxyv2:1", "initContainers")]) == "proxyv2:1"
    assert expiry_image([pod("proxyv2:1-distroless")]) is None


CURL = r"""#!/bin/sh
# Logs the requests and answers as configured.
case " $* " in *" --version "*) exit 0 ;; esac
cat > /dev/null
while [ $# -gt 0 ]; do case $1 in --request) method=$2 ;; --data) data=$2 ;; esac; shift; done
[ -n "$method" ] || { printf %s "$BODY"; exit 0; }
printf '%s %s\n' "$method" "$data" >> "$LOG"
case $method in GET) printf "$GET"; exit 0 ;; esac
case $data in
  *'"path": "/x"'*) printf "$LEFT" ;;
  *'"path": "/annotation"'*) printf "$ANNOTATION" ;;
  *'http/1/name","value":"a"'* | *'tcp/0/route/0/destination/host","value":"b.invalid"'*) printf 200 ;;
  *'"test"'*name* | *'"test"'*host*) printf 422 ;;
  *) printf 200 ;;
esac
"""


OURS = """{
  "metadata": {
    "annotations": {"meshops.istio/fault-injection": "{\\"resourceVersion\\":\\"9\\"}"},
    "resourceVersion": "12",
    "managedFields": [{"f:meshops.istio/fault-injection": {}}]
  }
}"""


def run_script(tmp_path, answers=(), routes=("http/a", "tcp/b"), probe=False, **more):
    curl = tmp_path / "curl"
    curl.write_text(CURL)
    curl.chmod(0o755)
    container = job(routes=list(routes), **more)["spec"]["template"]["spec"]["containers"][0]
    environment = {one["name"]: one["value"] for one in container["env"]}
    environment |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    environment |= {"GET": "200", "BODY": "", "LEFT": "200", "ANNOTATION": "422", **dict(answers)}
    command = container["startupProbe"]["exec"]["command"] if probe else container["command"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    return ran, (tmp_path / "log").read_text().splitlines()


def test_script_removes_each_route_and_restores_the_metadata_last(tmp_path):
    ran, requests = run_script(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["removed http/a", "removed tcp/b", "/spec/tcp: 200", "restore: 200"]
    assert len(requests) == 2 + 1 + 1 + 1
    assert requests[-1] == 'PATCH [{"op": "remove", "path": "/x"}]'
    assert '"op":"test","path":"/spec/http/1/name","value":"a"' in requests[1]


def test_script_deletes_a_virtual_service_that_was_created_for_the_faults(tmp_path):
    ran, requests = run_script(tmp_path, {"BODY": OURS}, delete=True)
    assert (ran.returncode, [r.split()[0] for r in requests]) == (0, ["GET", "DELETE"])
    assert requests[1] == 'DELETE {"preconditions":{"resourceVersion":"12"}}'


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"BODY": OURS.replace('"meshops.istio/fault-injection"', '"a"')}, 0),
        ({"BODY": ""}, 0),
        ({"GET": "404"}, 0),
        ({"GET": "500"}, 1),
        ({"GET": "000"}, 1),
    ],
    ids=["annotation removed by others", "empty", "deleted already", "refused", "no answer"],
)
def test_script_deletes_nothing_without_its_annotation(tmp_path, answers, code):
    ran, requests = run_script(tmp_path, {"BODY": OURS, **answers}, delete=True)
    assert (ran.returncode, [r.split()[0] for r in requests]) == (code, ["GET"])


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"LEFT": "422", "ANNOTATION": "200"}, 1),
        ({"LEFT": "422", "ANNOTATION": "422"}, 0),
        ({"LEFT": "422", "ANNOTATION": "404"}, 0),
        ({"LEFT": "422", "ANNOTATION": "500"}, 1),
        ({"LEFT": "200"}, 0),
    ],
    ids=["faults not found", "faults were never injected", "deleted meanwhile", "no answer", "only the metadata left"],
)
def test_script_fails_while_the_annotation_records_faults_that_it_did_not_find(tmp_path, answers, code):
    ran, _requests = run_script(tmp_path, answers, routes=["http/elsewhere"])
    assert ran.returncode == code, ran.stdout
    ran, _requests = run_script(tmp_path, {"LEFT": "422", "ANNOTATION": "200"})
    assert ran.returncode == 0, "it has removed the routes, and somebody has written since"


@pytest.mark.parametrize(("get", "code"), [("200", 0), ("404", 0), ("403", 1), ("000", 1)])
def test_startup_probe_succeeds_when_the_api_server_answers(tmp_path, get, code):
    ran, requests = run_script(tmp_path, {"GET": get}, probe=True)
    assert ran.returncode == code and [r.split()[0] for r in requests] == ["GET"]
    assert (f"HTTP {get}" in ran.stdout) is (code == 1)
