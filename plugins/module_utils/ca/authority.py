# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a new CA comes from: made here, with a root whose key stays out of the cluster, or brought by the user."""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
import stat
import tempfile
import typing as t

from .certificates import Certificate, CertificateError, certificates, key_matches, make_intermediate, make_root
from .rotation import name
from .trust_bundle import Bundle, plugged

_KEY_FILE, _CERTIFICATE_FILE = "root-key.pem", "root-cert.pem"


@dataclasses.dataclass(frozen=True, repr=False)
class Wishes:
    """What a user wants of a new CA.

    :ivar key_type: one of certificates.KEY_TYPES
    :ivar root_dir: a directory for the root and its key: used where it holds them, made where it doesn't;
        empty: the key of a new root is forgotten once it has signed
    :ivar root_key: the root's key in PEM, for a renewal, such as from Ansible Vault
    """

    trust_domains: tuple[str, ...] = ("cluster.local",)
    root_days: int = 3650
    intermediate_days: int = 730
    key_type: str = "EC-P256"
    root_dir: str = ""
    root_key: str = ""


def from_files(files: t.Mapping[str, str | None]) -> Bundle:
    """The user's own CA.

    :param files: ca_cert, ca_key, root_cert, cert_chain: each a path, or the PEM text itself; without
        cert_chain the signer and its root make the chain
    :raises CertificateError: a file is missing or can't be read
    """
    texts = {option: _text(option, files.get(option)) for option in ("ca_cert", "ca_key", "root_cert")}
    chain = _text("cert_chain", files["cert_chain"]) if files.get("cert_chain") else ""
    if not chain:
        signer, roots = certificates(texts["ca_cert"]), certificates(texts["root_cert"])
        chain = texts["ca_cert"] if signer and signer[0] in roots else "\n".join((texts["ca_cert"], texts["root_cert"]))
    return Bundle(_ended(texts["ca_cert"]), _ended(texts["ca_key"]), _ended(chain), _ended(texts["root_cert"]))


def _text(option: str, value: str | None) -> str:
    if not value:
        raise CertificateError(f"files.{option} is missing: give a path, or the PEM text")
    if "-----BEGIN" in value:
        return value
    try:
        with open(os.path.expanduser(value), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise CertificateError(f"files.{option} can't be read: {error}") from None


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def generated(wishes: Wishes, now: datetime.datetime, not_this: Certificate | None = None) -> Bundle:
    """A new intermediate under a new root, or under the root in root_dir.

    The root's key is on disk, where it was asked for, before anything else happens: no later failure loses it.

    :param not_this: the root in use, where another one is wanted
    :raises CertificateError: root_dir can't be used
    """
    found = root_in(wishes.root_dir) if wishes.root_dir else None
    if found and not_this and found[0] == not_this:
        raise CertificateError(
            f"root_dir {wishes.root_dir} holds the root in use, {name(found[0])}: a rotation wants another root;"
            " give an empty directory for it"
        )
    if found is None:
        found = make_root(wishes.trust_domains[0], wishes.root_days, wishes.key_type, now)
        if wishes.root_dir:
            keep_root(wishes.root_dir, *found)
    return _under(*found, wishes, now)


def renewed(present: Bundle, wishes: Wishes, now: datetime.datetime) -> Bundle:
    """A new intermediate under the root in use.

    :raises CertificateError: the root's key isn't given, or belongs to another root
    """
    root = present.root
    if wishes.root_key:
        key = wishes.root_key
    elif wishes.root_dir:
        found = root_in(wishes.root_dir)
        if found is None:
            raise CertificateError(f"root_dir {wishes.root_dir} holds no {_KEY_FILE}")
        key = found[1]
    else:
        raise CertificateError(
            f"a renewal needs the key of the root {name(root)}: give root_dir (with {_KEY_FILE} and"
            f" {_CERTIFICATE_FILE}), or root_key, or a finished intermediate with source: files."
            " Where the key is lost, rotate instead"
        )
    if not key_matches(key, root):
        raise CertificateError(f"the key given isn't that of the root in use, {name(root)}")
    return dataclasses.replace(_under(root, key, wishes, now), roots=present.roots)


def _under(root: Certificate, key: str, wishes: Wishes, now: datetime.datetime) -> Bundle:
    signer, signer_key = make_intermediate(
        root, key, wishes.trust_domains, wishes.intermediate_days, wishes.key_type, now
    )
    return plugged(signer, signer_key, [root])


def root_in(directory: str) -> tuple[Certificate, str] | None:
    """The root and its key in a directory; None where the directory isn't there or is empty.

    :raises CertificateError: only one of the two is there, others may read the key, or they don't belong together
    """
    directory = os.path.expanduser(directory)
    paths = [os.path.join(directory, file) for file in (_CERTIFICATE_FILE, _KEY_FILE)]
    there = [path for path in paths if os.path.exists(path)]
    if not there:
        if os.path.isdir(directory) and os.listdir(directory):
            raise CertificateError(f"root_dir {directory} holds other files: give an empty or a new directory")
        return None
    if len(there) == 1:
        raise CertificateError(
            f"root_dir {directory} holds {there[0]} alone: both of {paths[0]} and {paths[1]} are needed"
        )
    if stat.S_IMODE(os.stat(paths[1]).st_mode) & 0o077:
        raise CertificateError(f"others may read {paths[1]}: chmod 600 it")
    try:
        with open(paths[0], encoding="utf-8") as file:
            root = Certificate(file.read())
        with open(paths[1], encoding="utf-8") as file:
            key = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise CertificateError(f"root_dir {directory} can't be read: {error}") from None
    if not key_matches(key, root):
        raise CertificateError(f"{paths[1]} isn't the key of {paths[0]}")
    return root, key


def keep_root(directory: str, root: Certificate, key: str) -> None:
    """Writes a new root and its key, both or neither; the directory is 0700, the key's file 0600.

    :raises CertificateError: the directory can't be written
    """
    directory = os.path.expanduser(directory).rstrip("/")
    try:
        os.makedirs(os.path.dirname(os.path.abspath(directory)), exist_ok=True)
        # mkdtemp makes it 0700
        made = tempfile.mkdtemp(
            prefix=os.path.basename(directory) + ".", dir=os.path.dirname(os.path.abspath(directory))
        )
        try:
            for file, text in ((_CERTIFICATE_FILE, root.pem), (_KEY_FILE, key)):
                with open(os.open(os.path.join(made, file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                    out.write(text)
                    out.flush()
                    os.fsync(out.fileno())
            os.rename(made, directory)  # also onto an empty directory
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise CertificateError(f"root_dir {directory} can't be written: {error}") from None
