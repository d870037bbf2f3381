# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Programs built from Go modules, each into one file `bin/NAME-VERSION` of the lab's folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import versions
from home import LabError, file_name, folder, run
from progress import Step

KUBERNETES_PROGRAMS = (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubeadm", "kube-proxy", "kubectl",
)  # fmt: skip
ISTIO_PACKAGES = {
    "pilot-discovery": "pilot/cmd/pilot-discovery",
    "pilot-agent": "pilot/cmd/pilot-agent",
    "istioctl": "istioctl/cmd/istioctl",
    "install-cni": "cni/cmd/install-cni",
    "istio-cni": "cni/cmd/istio-cni",
}
HUB = "localhost/istio"

MAINS = {
    "etcd": """package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
""",
    # The first process of every pod: it waits for the end, and buries orphans.
    "pause": """package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	child := make(chan os.Signal, 8)
	signal.Notify(child, syscall.SIGCHLD)
	for {
		select {
		case <-end:
			return
		case <-child:
			for {
				if pid, _ := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 {
					break
				}
			}
		}
	}
}
""",
}


def program(name: str, version: str) -> Path:
    """Where a built program lies."""
    return folder("bin") / f"{name}-{version}"


def kubernetes() -> list[Step]:
    """Kubernetes' programs, out of a main module that replaces every staging module."""
    version = versions.KUBERNETES
    major, minor, _patch = version.split(".")
    stamp = "k8s.io/component-base/version"
    flags = (
        f"-s -w -X {stamp}.gitVersion=v{version} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
        f" -X {stamp}.gitTreeState=clean"
    )
    replaces = [f"-replace=k8s.io/{m}=k8s.io/{m}@v0.{version.partition('.')[2]}" for m in versions.KUBERNETES_STAGING]
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS]

    def workspace(log: Path) -> Path:
        return main_module(
            f"kubernetes-{version}", packages, [f"-require=k8s.io/kubernetes@v{version}", *replaces], log
        )

    return [
        from_workspace(name, version, f"k8s.io/kubernetes/cmd/{name}", workspace, flags) for name in KUBERNETES_PROGRAMS
    ]


def istio(version: str) -> list[Step]:
    """Istio's programs; they report the version as a released Istio does."""
    stamp = "istio.io/istio/pkg/version"
    flags = f"-s -w -X {stamp}.buildVersion={version} -X {stamp}.buildHub={HUB} -X {stamp}.buildTag={version}"
    packages = [f"istio.io/istio/{path}" for path in ISTIO_PACKAGES.values()]

    def workspace(log: Path) -> Path:
        commit = versions.ISTIO_COMMITS[version]
        return main_module(
            f"istio-{version}", [*packages, "istio.io/istio/manifests"], [], log, get=f"istio.io/istio@{commit}"
        )

    return [
        from_workspace(name, version, f"istio.io/istio/{path}", workspace, flags)
        for name, path in ISTIO_PACKAGES.items()
    ]


def etcd() -> Step:
    return from_own_main("etcd", versions.ETCD, ["go.etcd.io/etcd/server/v3"])


def pause() -> Step:
    return from_own_main("pause", versions.PAUSE, [])


def coredns() -> Step:
    return from_package("coredns", versions.COREDNS, "github.com/coredns/coredns")


def kind() -> Step:
    return from_package("kind", versions.KIND, "sigs.k8s.io/kind")


def helm() -> list[Step]:
    return [
        from_package("helm", versions.HELM4, "helm.sh/helm/v4/cmd/helm"),
        from_package("helm", versions.HELM3, "helm.sh/helm/v3/cmd/helm"),
    ]


def module_folder(module: str, version: str) -> Path:
    """Where Go keeps the source of a module; downloads it if need be."""
    known = folder("src") / f"{file_name(module)}@{version}.folder"
    if known.exists() and Path(known.read_text()).is_dir():
        return Path(known.read_text())
    answer = run("go", "mod", "download", "-json", f"{module}@{version}", env=go_environment(), cwd=folder("src"))
    known.write_text(json.loads(answer)["Dir"])
    return Path(known.read_text())


def istio_source(version: str) -> Path:
    """The source of Istio: charts, profiles, bootstrap template, samples."""
    return module_folder("istio.io/istio", versions.ISTIO_COMMITS[version])


def go_environment() -> dict[str, str]:
    """What every go command gets: static programs that don't depend on where they were built."""
    if not shutil.which("go"):
        raise LabError(
            "the program `go` is not on the PATH. Install Go 1.26 or newer (https://go.dev/dl), then run this again."
        )
    return {**os.environ, "GOFLAGS": "-buildvcs=false -trimpath", "CGO_ENABLED": "0", "GOWORK": "off"}


def main_module(name: str, packages: list[str], edits: list[str], log: Path, get: str | None = None) -> Path:
    """A module of our own that imports the packages, so that their `replace` lines and versions are ours to say."""
    place = folder("src") / name
    if place.exists():
        return place
    fresh = Path(tempfile.mkdtemp(dir=folder("src")))
    go = {"env": go_environment(), "cwd": fresh, "log": log}
    imports = "".join(f'\t_ "{package}"\n' for package in packages)
    (fresh / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports})\n")
    run("go", "mod", "init", "lab.example/tools", **go)
    if edits:
        run("go", "mod", "edit", *edits, **go)
    if get:
        # The module's own go.sum knows what its dependencies must be, also those that no checksum database knows.
        shutil.copyfile(module_folder(*get.split("@")) / "go.sum", fresh / "go.sum")
        run("go", "get", get, **go)
    run("go", "mod", "tidy", "-e", **go)  # -e: what only tests of dependencies import may be missing
    run("go", "list", "-deps", "-f", "{{with .Error}}{{.}}{{end}}", *packages, **go)  # nothing else may
    if not place.exists():
        fresh.rename(place)
    return place


def from_workspace(name: str, version: str, package: str, workspace, flags: str) -> Step:
    def make(log: Path) -> None:
        result = program(name, version)
        fresh = result.with_name(f".{result.name}")
        run("go", "build", "-ldflags", flags, "-o", fresh, package, env=go_environment(), cwd=workspace(log), log=log)
        fresh.replace(result)

    return Step(f"{name} {version}", program(name, version), make)


def from_own_main(name: str, version: str, modules: list[str]) -> Step:
    """A program whose main is ours: written, resolved and built in one go."""

    def make(log: Path) -> None:
        result = program(name, version)
        fresh = result.with_name(f".{result.name}")
        with tempfile.TemporaryDirectory(dir=folder("src")) as place:
            go = {"env": go_environment(), "cwd": place, "log": log}
            Path(place, "main.go").write_text(MAINS[name])
            run("go", "mod", "init", f"lab.example/{name}", **go)
            for module in modules:
                run("go", "get", f"{module}@v{version}", **go)
            run("go", "mod", "tidy", "-e", **go)
            run("go", "build", "-ldflags", "-s -w", "-o", fresh, ".", **go)
        fresh.replace(result)

    return Step(f"{name} {version}", program(name, version), make)


def from_package(name: str, version: str, package: str) -> Step:
    def make(log: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder("bin")) as place:
            env = {**go_environment(), "GOBIN": place}
            run("go", "install", "-ldflags", "-s -w", f"{package}@v{version}", env=env, cwd=place, log=log)
            Path(place, package.rpartition("/")[2]).replace(program(name, version))

    return Step(f"{name} {version}", program(name, version), make)
