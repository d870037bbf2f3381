# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules for one kind of object, against a real API server that has Istio's and the Gateway API's CRDs."""

from __future__ import annotations

import importlib
import json
import pathlib
import re

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.mesh.names import GATEWAY_API, istio_group

MODULES = pathlib.Path(__file__).parents[2] / "plugins" / "modules"
CALL = re.compile(r'run_typed_module\("([^"]+)", "([^"]+)", SPEC')
TYPED = {
    path.stem: match.groups()
    for path in sorted(MODULES.glob("*.py"))
    if (match := CALL.search(path.read_text("utf-8")))
}
#: Fields that only the experimental channel of the Gateway API has.
EXPERIMENTAL = {"defaultScope", "useDefaultGateways"}
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}


@pytest.fixture(scope="session")
def fields(cluster) -> dict[tuple[str, str], dict]:
    """(group, kind) -> the top-level fields of spec in the newest version of the CRD that the server has."""
    found = {}
    for definition in cluster.list(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]):
        spec = definition["spec"]
        if not (istio_group(spec["group"]) or spec["group"] == GATEWAY_API):
            continue  # another test's
        schema = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        found[spec["group"], spec["names"]["kind"]] = schema.get("spec", {}).get("properties", {})
    return found


@pytest.fixture
def run(kubeconfig, capsys):
    """Runs a module in this process with the kubeconfig, and gives its result."""

    def run(module: str, options: dict, check: bool = False) -> dict:
        arguments = {**options, "kubeconfig": kubeconfig, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(json.loads(json.dumps(arguments))), pytest.raises(SystemExit):
            code_of(module).main()
        return json.loads(capsys.readouterr().out)

    return run


def code_of(module: str):
    return importlib.import_module(f"ansible_collections.meshops.istio.plugins.modules.{module}")


def test_there_is_a_module_for_each_kind_of_istio(fields):
    kinds = {(api_version.partition("/")[0], kind) for api_version, kind in TYPED.values()}
    istio = {(group, kind) for group, kind in fields if group.endswith("istio.io")}
    assert istio - kinds == {("extensions.istio.io", "TrafficExtension")}
    assert len(TYPED) == 20


@pytest.mark.parametrize("module", TYPED)
def test_options_are_the_fields_of_the_crd(module, fields):
    api_version, kind = TYPED[module]
    served = fields[api_version.partition("/")[0], kind]
    options = {spec.get("aliases", [option])[0]: spec for option, spec in code_of(module).SPEC.items()}
    assert set(options) - EXPERIMENTAL == set(served) - EXPERIMENTAL
    for name, schema in served.items():
        spec = options[name]
        assert spec["type"] == TYPES[schema["type"]], name
        if schema["type"] == "array":
            assert spec["elements"] == TYPES[schema["items"]["type"]], name
        assert spec.get("choices", []) == [v for v in schema.get("enum", []) if v], name


@pytest.mark.parametrize("module", TYPED)
def test_options_are_written_as_ansible_does_with_the_crds_name_as_alias(module):
    for option, spec in code_of(module).SPEC.items():
        assert re.fullmatch(r"[a-z0-9_]+", option)
        for alias in spec.get("aliases", []):
            assert re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), alias) == option


@pytest.mark.parametrize("module", TYPED)
def test_the_documented_examples_work(module, run, namespace, cluster):
    api_version, kind = TYPED[module]
    tasks = [task[f"meshops.istio.{module}"] for task in yaml.safe_load(code_of(module).EXAMPLES)]
    # Nothing in this API server makes an object ready, so nothing waits.
    tasks = [{**task, "namespace": namespace, "wait": False} for task in tasks]
    declared = {task["name"]: task for task in tasks if task.get("state") != "absent"}
    removed = [task for task in tasks if task.get("state") == "absent"]
    assert declared
    assert removed

    for options in declared.values():
        predicted = run(module, options, check=True)
        assert predicted["action"] == "created", predicted
        assert cluster.get(cluster.served(cluster.kind(api_version, kind)), options["name"], namespace) is None
        done = run(module, options)
        assert (done["action"], done["changed"]) == ("created", True)
        assert done["diff"] == predicted["diff"]
        assert run(module, options)["action"] == "unchanged"
        assert run(module, options, check=True)["action"] == "unchanged"
    for options in removed:
        assert run(module, options, check=True)["action"] == "deleted"
        assert run(module, options)["action"] == "deleted"
        assert run(module, options)["action"] == "unchanged"


def test_names_of_istios_documentation_are_understood(run, namespace):
    options = {
        "name": "pasted",
        "namespace": namespace,
        "hosts": ["db.example.com"],
        "exportTo": ["."],
        "subjectAltNames": ["spiffe://cluster.local/ns/x/sa/y"],
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
    }
    spec = run("service_entry", options)["object"]["spec"]
    assert spec["exportTo"] == ["."]
    assert spec["subjectAltNames"] == ["spiffe://cluster.local/ns/x/sa/y"]
    assert run("service_entry", options)["action"] == "unchanged"


def test_numbers_of_the_command_line_are_numbers(run, namespace):
    """As with C(-e weight=10): text in Ansible, a number in Istio. What Istio takes as text stays text."""
    headers = {"x-canary": {"exact": "1"}}
    options = {
        "name": "canary",
        "namespace": namespace,
        "hosts": ["reviews"],
        "http": [
            {
                "match": [{"headers": headers, "port": "80", "ignoreUriCase": "True"}],
                "fault": {"abort": {"httpStatus": "503", "percentage": {"value": "0.5"}}},
                "route": [{"destination": {"host": "reviews", "port": {"number": "9080"}}, "weight": "10"}],
            }
        ],
    }
    assert run("virtual_service", options)["object"]["spec"]["http"] == [
        {
            "match": [{"headers": headers, "port": 80, "ignoreUriCase": True}],
            "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.5}}},
            "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}, "weight": 10}],
        }
    ]
    assert run("virtual_service", options)["action"] == "unchanged"


def test_a_field_that_is_no_longer_declared_is_removed(run, namespace):
    options = {"name": "reviews", "namespace": namespace, "host": "reviews"}
    first = run("destination_rule", {**options, "export_to": ["."]})
    assert first["object"]["spec"] == {"host": "reviews", "exportTo": ["."]}
    changed = run("destination_rule", options)
    assert changed["action"] == "updated"
    assert changed["object"]["spec"] == {"host": "reviews"}
    assert changed["diff"]["before_header"] == f"DestinationRule {namespace}/reviews"
    assert "exportTo" in changed["diff"]["before"]
    assert "exportTo" not in changed["diff"]["after"]


def test_labels_of_a_workload_and_of_its_object_are_told_apart(run, namespace):
    options = {
        "name": "vm",
        "namespace": namespace,
        "address": "192.0.2.1",
        "labels": {"app": "ratings"},
        "metadata_labels": {"team": "books"},
        "annotations": {"weight": 5},
        "owner": "books",
    }
    live = run("workload_entry", options)["object"]
    assert live["spec"]["labels"] == {"app": "ratings"}
    assert live["metadata"]["labels"] == {"team": "books", "meshops.istio/owner": "books"}
    assert live["metadata"]["annotations"] == {"weight": "5"}


def test_the_version_is_one_that_the_server_serves(run, namespace, cluster, monkeypatch):
    """As on an older or newer server, which doesn't have the version that the module asks for first."""
    assert "v1alpha2" not in cluster.versions("gateway.networking.k8s.io")
    module = code_of("tls_route")
    run_typed_module = module.run_typed_module
    monkeypatch.setattr(
        module,
        "run_typed_module",
        lambda api_version, *more, **named: run_typed_module("gateway.networking.k8s.io/v1alpha2", *more, **named),
    )
    options = {
        "name": "vault",
        "namespace": namespace,
        "hostnames": ["vault.example.com"],
        "rules": [{"backendRefs": [{"name": "vault", "port": 8200}]}],
    }
    for check in (True, False):
        assert run("tls_route", options, check=check)["object"]["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert run("tls_route", options)["action"] == "unchanged"
    assert run("tls_route", {**options, "state": "absent"})["action"] == "deleted"


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (
            "virtual_service",
            {"hosts": ["a"], "http": [{"rotue": []}]},
            "unknown field spec.http[0].rotue: did you mean route?",
        ),
        (
            "virtual_service",
            {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}, "weight": "ten"}]}]},
            "spec.http[0].route[0].weight must be a number, not 'ten': write it without quotes",
        ),
        (
            "virtual_service",
            {"hosts": ["a"], "http": [{"timeout": "5", "route": [{"destination": {"host": "a"}}]}]},
            "spec.http[0].timeout must be a duration such as 5s or 1h30m, not '5'",
        ),
        (
            "authorization_policy",
            {"selector": {"matchLabels": {"app": "a"}}, "target_refs": [{"kind": "Service", "group": "", "name": "a"}]},
            "only one of targetRefs or selector can be set",
        ),
        ("peer_authentication", {"namespace": "nowhere"}, "namespace nowhere does not exist: create it first"),
        ("peer_authentication", {"labels": {"a": {}}}, "labels.a is {}: it must be a string"),
    ],
)
def test_errors_name_object_field_and_remedy(module, options, message, run, namespace):
    options = {"name": "wrong", "namespace": namespace, **options}
    failed = run(module, options)
    assert failed["failed"]
    assert f"{options['namespace']}/wrong" in failed["msg"]
    assert message in failed["msg"]


def test_an_empty_namespace_is_not_the_default_one(run):
    assert "namespace is empty: name" in run("peer_authentication", {"name": "wrong", "namespace": ""})["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "state is present but all of the following are missing: host"),
        ({"host": "https://192.0.2.1"}, "give the URL of the API server as api_host"),
    ],
)
def test_a_destination_rules_host_is_not_the_api_servers(options, message, run, namespace):
    assert message in run("destination_rule", {"name": "wrong", "namespace": namespace, **options})["msg"]
