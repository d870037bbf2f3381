# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where charts come from: directories, and the login of a private repository."""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import re
import typing as t
import urllib.parse

from ..errors import MeshopsError

try:
    import yaml
except ImportError:
    pass  # ansible-core itself needs it

#: How deep below a directory of charts a chart's folder is looked for.
_DEPTH = 3
_NUMBER = re.compile(r"\d+")


@dataclasses.dataclass(frozen=True)
class Login:
    """How to log in to a repository of charts; its password is in no text that is made of it.

    :ivar ca_file: path of the certificates that the repository's certificate is checked with
    """

    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    ca_file: str = ""

    def hidden(self, text: str) -> str:
        """A text without the password."""
        for secret in {self.password, urllib.parse.quote(self.password, safe="")} - {""}:
            text = text.replace(secret, "********")
        return text


def split_login(address: str, login: Login) -> tuple[str, Login]:
    """An address without user and password, and the login: the address's own, else the given one."""
    parts = urllib.parse.urlsplit(address)
    if parts.username is None:
        return address, login
    host = parts.netloc.rpartition("@")[2]
    own = Login(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""), login.ca_file)
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), own


def repositories(name: str, url: str, login: Login) -> str:
    """Helm's repositories.yaml with one repository; JSON is YAML."""
    entry = {"name": name, "url": url, "username": login.username, "password": login.password, "caFile": login.ca_file}
    return json.dumps({"apiVersion": "", "generated": "0001-01-01T00:00:00Z", "repositories": [entry]})


def registry_config(address: str, login: Login) -> str:
    """Helm's registry/config.json with the login of one registry."""
    token = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    return json.dumps({"auths": {urllib.parse.urlsplit(address).netloc: {"auth": token}}})


def is_local(reference: str) -> bool:
    """Whether an OCI reference is of a registry on this machine."""
    host = urllib.parse.urlsplit(reference).hostname or ""
    return reference.startswith("oci://") and (host in ("localhost", "::1") or host.startswith("127."))


def local_chart(folder: pathlib.Path, name: str, version: str | None) -> pathlib.Path:
    """The path of a chart in a directory: a folder, or a package NAME-VERSION.tgz.

    Without a version it is the newest but pre-releases. A chart whose folder has another name is found by the
    name in its Chart.yaml, up to three folders deep.

    :raises MeshopsError: the chart is not there; the text lists the charts there are
    """
    for path in _folders(folder, name):
        if version in (None, _metadata(path).get("version")):
            return path
    packages = {p.stem.removeprefix(name + "-"): p for p in folder.glob(f"{name}-[0-9v]*.tgz")}
    if version in packages:
        return packages[version]
    if packages and version is None:
        releases = [v for v in packages if not is_prerelease(v)]
        return packages[max(releases or packages, key=semver)]
    where = "Set charts to the folder that holds it, the URL of a Helm repository, or an oci:// address"
    if not folder.is_dir():
        raise MeshopsError(f"chart {name} not found (NotFound): directory {folder} does not exist. {where}")
    known = sorted(p.name for p in folder.iterdir() if p.suffix == ".tgz" or (p / "Chart.yaml").is_file())
    raise MeshopsError(
        f"chart {name}{' ' + version if version else ''} not found in {folder} (NotFound): the folder has"
        f" {', '.join(known) or 'no charts'}, and neither {name}-{version or 'VERSION'}.tgz nor {name}/Chart.yaml."
        f" {where}"
    )


def _folders(folder: pathlib.Path, name: str) -> t.Iterator[pathlib.Path]:
    """The folders of charts of a name: first that of the same name."""
    if (folder / name / "Chart.yaml").is_file():
        yield folder / name
    if not folder.is_dir():
        return
    for depth in range(1, _DEPTH + 1):
        for file in sorted(folder.glob("/".join(["*"] * depth + ["Chart.yaml"]))):
            if file.parent != folder / name and _metadata(file.parent).get("name") == name:
                yield file.parent


def _metadata(folder: pathlib.Path) -> dict[str, t.Any]:
    try:
        metadata = yaml.safe_load((folder / "Chart.yaml").read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def is_prerelease(version: str) -> bool:
    """Whether a version is a pre-release."""
    return "-" in version.partition("+")[0]


def semver(version: str) -> tuple[t.Any, ...]:
    """A key that sorts versions as semver.org does: 1.9.0 < 1.10.0-rc.9 < 1.10.0-rc.10 < 1.10.0."""
    core, _dash, pre = version.removeprefix("v").partition("+")[0].partition("-")
    numbers = tuple(int(part) if _NUMBER.fullmatch(part) else 0 for part in core.split("."))
    parts = tuple((0, int(p), "") if _NUMBER.fullmatch(p) else (1, 0, p) for p in pre.split(".")) if pre else ()
    return numbers, not pre, parts
