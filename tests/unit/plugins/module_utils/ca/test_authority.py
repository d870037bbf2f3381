# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a new CA comes from, and where the root's key goes: to one place, or to none."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import authority
from ansible_collections.meshops.istio.plugins.module_utils.ca.trust_bundle import BrokenBundle
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates as c

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


def spec(**given):
    return authority.CaSpec(**given)


def test_the_roots_key_is_written_once_for_its_owner_alone(tmp_path):
    place = tmp_path / "secure" / "root"
    bundle = authority.generated(spec(root_dir=str(place)), NOW)
    assert {file.name: file.stat().st_mode & 0o777 for file in place.iterdir()} == {
        "root-cert.pem": 0o600,
        "root-key.pem": 0o600,
    }
    assert place.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in place.parent.iterdir()] == ["root"]
    key = (place / "root-key.pem").read_text()
    assert key not in bundle.key + bundle.chain + bundle.certificate + bundle.roots
    again = authority.generated(spec(root_dir=str(place)), NOW)
    assert again.root == bundle.root
    assert again.signer != bundle.signer
    assert (place / "root-key.pem").read_text() == key


def test_without_a_directory_the_roots_key_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle = authority.generated(spec(), NOW)
    assert list(tmp_path.iterdir()) == []
    assert not c.key_matches(bundle.key, bundle.root)


def test_a_rotation_wants_another_root(tmp_path):
    bundle = authority.generated(spec(root_dir=str(tmp_path / "root")), NOW)
    with pytest.raises(c.CertificateError, match="holds the root in use"):
        authority.generated(spec(root_dir=str(tmp_path / "root")), NOW, not_this=bundle.root)


def test_directories_that_can_not_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(c.CertificateError, match="holds other files"):
        authority.root_in(str(tmp_path))
    place = tmp_path / "root"
    authority.generated(spec(root_dir=str(place)), NOW)
    (place / "root-key.pem").chmod(0o644)
    with pytest.raises(c.CertificateError, match="chmod 600"):
        authority.root_in(str(place))
    (place / "root-key.pem").unlink()
    with pytest.raises(c.CertificateError, match="both of"):
        authority.root_in(str(place))


def test_renewal_keeps_the_root(tmp_path):
    place = str(tmp_path / "root")
    old = authority.generated(spec(root_dir=place), NOW)
    new = authority.renewed(old, spec(root_dir=place), NOW)
    assert new.roots == old.roots
    assert new.signer != old.signer
    assert new.problems(NOW, 30) == []
    key = (tmp_path / "root" / "root-key.pem").read_text()
    assert authority.renewed(old, spec(root_key=key), NOW).root == old.root
    with pytest.raises(c.CertificateError, match="needs the key of the root"):
        authority.renewed(old, spec(), NOW)
    with pytest.raises(c.CertificateError, match="root_key: the key isn't a PEM private key"):
        authority.renewed(old, spec(root_key="nothing"), NOW)
    with pytest.raises(c.CertificateError, match="isn't that of the root in use"):
        authority.renewed(old, spec(root_key=old.key), NOW)


def test_files_as_paths_or_as_text(tmp_path):
    bundle = authority.generated(spec(), NOW)
    paths = {}
    for option, text in (("ca_cert", bundle.certificate), ("ca_key", bundle.key), ("root_cert", bundle.roots)):
        (tmp_path / option).write_text(text)
        paths[option] = str(tmp_path / option)
    for files in (paths, {**paths, "ca_key": bundle.key}, {**paths, "cert_chain": bundle.chain}):
        read = authority.from_files(files)
        assert (read.signer, read.trusted, read.problems(NOW)) == (bundle.signer, bundle.trusted, [])


def test_files_that_hold_no_certificate_are_named_by_their_option():
    own = authority.generated(spec(), NOW)
    files = {"ca_cert": own.certificate, "ca_key": own.key, "root_cert": own.roots, "cert_chain": own.chain}
    for option in ("ca_cert", "root_cert", "cert_chain"):
        broken = {**files, option: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}
        with pytest.raises(BrokenBundle, match=f"unreadable: files.{option}: not a PEM certificate"):
            authority.from_files(broken)


def test_a_root_that_expires_too_soon_signs_nothing(tmp_path):
    place = str(tmp_path / "root")
    authority.generated(spec(root_dir=place, root_days=40), NOW)
    with pytest.raises(BrokenBundle, match="expires_soon: the signer.*expires_soon: the root"):
        authority.generated(spec(root_dir=place, min_days=60), NOW)


def test_files_that_are_missing_are_named_by_their_option(tmp_path):
    with pytest.raises(c.CertificateError, match="files.ca_key can't be read"):
        authority.from_files({"ca_cert": authority.generated(spec(), NOW).certificate, "ca_key": str(tmp_path / "no")})


@pytest.mark.parametrize("mark", ["folder", "file"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_root_key_is_not_written_inside_a_git_work_tree(tmp_path, mark, keep):
    if mark == "folder":
        (tmp_path / ".git").mkdir()
    else:
        (tmp_path / ".git").write_text("gitdir: elsewhere")  # a worktree or a submodule
    place = tmp_path / "inventory" / "root"
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (place, tmp_path / "link" / "root"):
        with pytest.raises(c.CertificateError, match="git work tree"):
            authority.generated(authority.CaSpec(root_dir=str(folder)), NOW, keep=keep)
    assert not place.exists()
    authority.generated(authority.CaSpec(root_dir=str(place), accept_git=True), NOW, keep=keep)
    assert (place / "root-key.pem").exists() is keep
