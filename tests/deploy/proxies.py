"""Starts the reverse proxies with the shipped configuration files, on free ports."""

import contextlib
import datetime
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import ROOT, free_port, skip_or_fail
from tests.waiting import wait_for

SITE = "survey.example.org"
"""The host name in the shipped files."""


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its ports, and a context that trusts its certificate."""

    https: int
    http: int
    trust: ssl.SSLContext


@contextlib.contextmanager
def started(kind: str, upstream: int, folder: Path) -> Iterator[Proxy]:
    """Run the proxy in front of a local server."""
    program = shutil.which(kind, path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    if program is None:
        skip_or_fail(f"no {kind} here (Debian: apt install {'nginx-light' if kind == 'nginx' else kind})")
    certificate, key = make_certificate(folder)
    proxy = Proxy(free_port(), free_port(), ssl.create_default_context(cafile=str(certificate)))
    prepare = {"nginx": nginx, "caddy": caddy}[kind]
    arguments, environment = prepare(proxy, upstream, folder, (certificate, key))
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        wait_for(
            lambda: listens(proxy.https) and listens(proxy.http),
            lambda: f"{kind} did not start:\n{(folder / f'{kind}.log').read_text()}",
        )
        yield proxy
    finally:
        process.terminate()
        process.wait(20)


def nginx(proxy: Proxy, upstream: int, folder: Path, files: tuple[Path, Path]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and environment of nginx with the shipped file, in which only ports and paths are replaced."""
    site = (ROOT / "deploy/nginx/stepkeep.conf").read_text()
    changes = {
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
        "listen 80;": f"listen 127.0.0.1:{proxy.http};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{proxy.https} ssl http2;",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream};",
        f"/etc/letsencrypt/live/{SITE}/fullchain.pem": str(files[0]),
        f"/etc/letsencrypt/live/{SITE}/privkey.pem": str(files[1]),
        "/var/log/nginx/stepkeep.log": str(folder / "access.log"),
    }
    for shipped, replacement in changes.items():
        assert shipped in site, f"the file has no {shipped!r}"
        site = site.replace(shipped, replacement)
    (folder / "site.conf").write_text(site)
    temp_paths = "".join(
        f"{name}_temp_path {folder / name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder / 'nginx.pid'};\nerror_log {folder / 'error.log'};\n"
        f"events {{}}\nhttp {{\n{temp_paths}include {folder / 'site.conf'};\n}}\n"
    )
    return ["-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")], {}


def caddy(proxy: Proxy, upstream: int, folder: Path, files: tuple[Path, Path]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and environment of Caddy with the shipped file; only ports and certificate are replaced."""
    site = (ROOT / "deploy/caddy/Caddyfile").read_text()
    options = f"{{\n\tadmin off\n\tauto_https disable_certs\n\thttp_port {proxy.http}\n\thttps_port {proxy.https}\n"
    head, directive = "{\n\tservers {", "\treverse_proxy "
    assert head in site
    assert directive in site
    site = site.replace(head, f"{options}\tservers {{", 1)
    site = site.replace(directive, f"\ttls {files[0]} {files[1]}\n{directive}", 1)
    (folder / "Caddyfile").write_text(site)
    environment = {"UPSTREAM": f"127.0.0.1:{upstream}", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    return ["run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], environment


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for the site; return its file and the key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SITE)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SITE)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "site.pem", folder / "site.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
