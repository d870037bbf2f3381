# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a new CA, with a root whose key is never written to the cluster, or reads the user's own."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import shutil
import stat
import tempfile
import typing as t

from ..mesh.certificates import (
    Certificate,
    CertificateError,
    certificates,
    key_alone,
    key_matches,
    make_intermediate,
    make_root,
)
from .rotation import name
from .trust_bundle import BrokenBundle, Bundle, Problem, plugged

_KEY_FILE, _CERTIFICATE_FILE = "root-key.pem", "root-cert.pem"
#: What the specification of SPIFFE allows, and what a certificate's URI can hold.
_TRUST_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")


@dataclasses.dataclass(frozen=True, repr=False)
class CaSpec:
    """The properties of a new CA.

    :ivar key_type: one of certificates.KEY_TYPES
    :ivar root_dir: a directory for the root and its key: used where it holds them, made where it doesn't;
        empty: the key of a new root is forgotten once it has signed
    :ivar root_key: the root's key in PEM, for a renewal, such as from Ansible Vault
    :ivar min_days: what is made must be valid for longer
    :ivar signed_domains: those of the trust domains for which istiod signs
    :ivar accept_git: a new root's key may be written inside a git work tree
    """

    trust_domains: tuple[str, ...] = ("cluster.local",)
    root_days: int = 3650
    intermediate_days: int = 730
    key_type: str = "EC-P256"
    root_dir: str = ""
    root_key: str = ""
    min_days: int = 0
    signed_domains: tuple[str, ...] = ()
    accept_git: bool = False

    def refuse_if_senseless(self, now: datetime.datetime, *, with_root: bool) -> None:
        """Fails where no certificate can be made so.

        :param with_root: a root is made, too
        :raises CertificateError: names the option
        """
        longest = (datetime.datetime.max.replace(tzinfo=datetime.timezone.utc) - now).days - 1
        for option in ("root_days", "intermediate_days") if with_root else ("intermediate_days",):
            days = getattr(self, option)
            if days <= self.min_days:
                raise CertificateError(f"{option} is {days}: it must be more than min_days, which is {self.min_days}")
            if days > longest:
                raise CertificateError(f"{option} is {days}: no certificate can be valid beyond the year 9999")
        for domain in self.trust_domains:
            if not _TRUST_DOMAIN.fullmatch(domain):
                raise CertificateError(
                    f"{domain!r} can't be a trust domain: letters, digits, dots, dashes and underscores make one;"
                    " correct trust_domains, or trustDomain and trustDomainAliases in the mesh config"
                )

    def refuse_if_broken(self, made: Bundle, now: datetime.datetime) -> None:
        """Fails where what was made can't be used, such as since the root that was prepared expires soon.

        :raises BrokenBundle: names every problem
        """
        made.refuse_if_broken("the new CA", now, self.min_days, self.signed_domains)


def from_files(files: t.Mapping[str, str | None]) -> Bundle:
    """The user's own CA.

    :param files: ca_cert, ca_key, root_cert, cert_chain: each a path, or the PEM text itself; without
        cert_chain the signer and its root make the chain
    :raises CertificateError: a file is missing or can't be read
    :raises BrokenBundle: one holds what can't be read as a certificate
    """
    texts = {option: _text(option, files.get(option)) for option in ("ca_cert", "ca_key", "root_cert")}
    chain = _text("cert_chain", files["cert_chain"]) if files.get("cert_chain") else ""
    signer, roots, _links = (
        _certificates(option, text)
        for option, text in (("ca_cert", texts["ca_cert"]), ("root_cert", texts["root_cert"]), ("cert_chain", chain))
    )
    if not chain:
        chain = texts["ca_cert"] if signer and signer[0] in roots else "\n".join((texts["ca_cert"], texts["root_cert"]))
    key = key_alone(texts["ca_key"])
    return Bundle(_ended(texts["ca_cert"]), _ended(key), _ended(chain), _ended(texts["root_cert"]))


def _certificates(option: str, text: str) -> tuple[Certificate, ...]:
    try:
        return certificates(text)
    except CertificateError as error:
        raise BrokenBundle("files", [Problem("unreadable", f"files.{option}: {error}")]) from None


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


def prepared_root(spec: CaSpec, not_this: Certificate | None = None) -> tuple[Certificate, str] | None:
    """The root in root_dir and its key; None where one is to be made.

    :param not_this: the root in use, where another one is wanted
    :raises CertificateError: root_dir can't be used
    """
    found = root_in(spec.root_dir) if spec.root_dir else None
    if found and not_this and found[0] == not_this:
        raise CertificateError(
            f"root_dir {spec.root_dir} holds the root in use, {name(found[0])}: a rotation needs another root:"
            " give an empty directory for it"
        )
    return found


def generated(
    spec: CaSpec, now: datetime.datetime, not_this: Certificate | None = None, *, keep: bool = True
) -> Bundle:
    """A new intermediate under a new root, or under the root in root_dir.

    The root's key is on disk, where root_dir names it, before anything is written to the cluster: no later failure
    loses it.

    :param not_this: the root in use, where another one is wanted
    :param keep: whether to write a new root to root_dir; otherwise only that this can be done is seen to
    :raises CertificateError: an option makes no sense, or root_dir can't be used
    :raises BrokenBundle: what is made can't be used
    """
    found = prepared_root(spec, not_this)
    spec.refuse_if_senseless(now, with_root=found is None)
    root, key = found or make_root(spec.trust_domains[0], spec.root_days, spec.key_type, now)
    made = _under(root, key, spec, now)
    spec.refuse_if_broken(made, now)
    if found is None and spec.root_dir:
        if not spec.accept_git:
            refuse_work_tree(spec.root_dir)
        if keep:
            keep_root(spec.root_dir, root, key)
        else:
            refuse_unwritable(spec.root_dir)
    return made


def renewed(present: Bundle, spec: CaSpec, now: datetime.datetime) -> Bundle:
    """A new intermediate under the root in use.

    :raises CertificateError: the root's key isn't given, or belongs to another root; or an option makes no sense
    :raises BrokenBundle: what is made can't be used
    """
    spec.refuse_if_senseless(now, with_root=False)
    root = present.root
    if spec.root_key:
        key = spec.root_key
    elif spec.root_dir:
        found = root_in(spec.root_dir)
        if found is None:
            raise CertificateError(f"root_dir {spec.root_dir} holds no {_KEY_FILE}")
        key = found[1]
    else:
        raise CertificateError(
            f"a renewal needs the key of the root {name(root)}: give root_dir (with {_KEY_FILE} and"
            f" {_CERTIFICATE_FILE}), or root_key, or a finished intermediate with source: files."
            " Where the key is lost, rotate instead"
        )
    try:
        matches = key_matches(key, root)
    except CertificateError as error:
        raise CertificateError(f"root_key: {error}") from None
    if not matches:
        raise CertificateError(f"the key given isn't that of the root in use, {name(root)}")
    made = dataclasses.replace(_under(root, key, spec, now), roots=present.roots)
    spec.refuse_if_broken(made, now)
    return made


def _under(root: Certificate, key: str, spec: CaSpec, now: datetime.datetime) -> Bundle:
    signer, signer_key = make_intermediate(root, key, spec.trust_domains, spec.intermediate_days, spec.key_type, now)
    return plugged(signer, signer_key, [root])


def root_in(directory: str) -> tuple[Certificate, str] | None:
    """The root and its key in a directory; None where the directory isn't there or is empty.

    :raises CertificateError: only one of the two is there, others may read the key, or they don't belong together
    """
    try:
        return _root_in(os.path.expanduser(directory))
    except (OSError, UnicodeDecodeError) as error:
        raise CertificateError(f"root_dir {directory} can't be read: {error}") from None


def _root_in(directory: str) -> tuple[Certificate, str] | None:
    paths = [os.path.join(directory, file) for file in (_CERTIFICATE_FILE, _KEY_FILE)]
    there = [path for path in paths if os.path.exists(path)]
    if not there:
        if os.path.exists(directory) and os.listdir(directory):
            raise CertificateError(f"root_dir {directory} holds other files: give an empty or a new directory")
        return None
    if len(there) == 1:
        raise CertificateError(
            f"root_dir {directory} holds {there[0]} alone: both of {paths[0]} and {paths[1]} are needed"
        )
    if stat.S_IMODE(os.stat(paths[1]).st_mode) & 0o077:
        raise CertificateError(f"others may read {paths[1]}: chmod 600 it")
    with open(paths[0], encoding="utf-8") as file:
        text = file.read()
    with open(paths[1], encoding="utf-8") as file:
        key = file.read()
    try:
        root, matches = Certificate(text), key_matches(key, Certificate(text))
    except CertificateError as error:
        raise CertificateError(f"root_dir {directory}: {error}") from None
    if not matches:
        raise CertificateError(f"{paths[1]} isn't the key of {paths[0]}")
    return root, key


def refuse_work_tree(directory: str) -> None:
    """Fails where a root's key would be written inside a git work tree, from which it is easily committed.

    :raises CertificateError: names the work tree
    """
    folder = os.path.realpath(os.path.expanduser(directory))
    while True:
        if os.path.exists(os.path.join(folder, ".git")):
            raise CertificateError(
                f"root_dir {directory} is inside the git work tree {folder}, where the root's key could be committed:"
                " name a directory outside of it, or accept that with accept_git_root_dir: true"
                " (ca_accept_git_root_dir)"
            )
        parent = os.path.dirname(folder)
        if parent == folder:
            return
        folder = parent


def refuse_unwritable(directory: str) -> None:
    """Fails where C(keep_root) would.

    :raises CertificateError: the directory can't be made
    """
    parent = os.path.dirname(os.path.abspath(os.path.expanduser(directory)))
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        raise CertificateError(f"root_dir {directory} can't be written: {parent} isn't a directory that you may write")


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
