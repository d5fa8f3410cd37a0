"""What the banner says to paste works, also over TLS."""

import datetime
import ipaddress
import re
import shlex
import signal
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer, clean_environment
from tools import components

pytestmark = pytest.mark.e2e


def shell(command: str, folder: Path, **environment: str) -> str:
    """Run a command as a person would, with our clients first in the path; what it printed."""
    path = f"{components.BIN}:{clean_environment()['PATH']}"
    home = {"HOME": str(folder), "PATH": path, "RCLONE_CONFIG": str(folder / "rclone.conf"), **environment}
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=folder,
        env=clean_environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, command + done.stdout + done.stderr
    return done.stdout


def pasted(stderr: str, label: str) -> str:
    """The banner's lines for a client."""
    lines = stderr.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"  {label} "))
    block = [lines[first].removeprefix(f"  {label}"), lines[first + 1]]
    return "\n".join(line.strip() for line in block)


@pytest.mark.needs("aws")
def test_the_line_for_aws_cli_makes_a_bucket(tmp_path: Path) -> None:
    """And what is copied into it comes back."""
    (tmp_path / "a file").write_bytes(bytes(range(256)) * 9000)
    with RunningServer(tmp_path / "data", preset=False) as server:
        lines = pasted(server.stderr, "aws-cli")
        assert "make_bucket: my-bucket" in shell(lines, tmp_path)
        login = lines.splitlines()[0]
        copy = f"aws --endpoint-url {server.s3} s3 cp"
        shell(f"{login}\n{copy} 'a file' 's3://my-bucket/a file'\n{copy} 's3://my-bucket/a file' back", tmp_path)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "a file").read_bytes()


@pytest.mark.needs("rclone")
def test_the_lines_for_rclone_copy_a_folder(tmp_path: Path) -> None:
    """``rclone config create`` and a copy."""
    pictures = tmp_path / "Pictures"
    pictures.mkdir()
    for number in range(5):
        (pictures / f"{number} ü.jpg").write_bytes(bytes([number]) * (70_000 * number))
    with RunningServer(tmp_path / "data", preset=False) as server:
        shell(pasted(server.stderr, "rclone"), tmp_path)
        shell("rclone check ~/Pictures noisefs:my-bucket --download", tmp_path)


def certificate(folder: Path, name: str) -> str:
    """A new certificate for loopback and its key, in ``cert.pem`` and ``key.pem``; returns the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    (folder / "cert.pem").write_text(text)
    return text


def served_certificate(url: str) -> str:
    """What a listener shows."""
    parts = urlsplit(url)
    return ssl.get_server_certificate((parts.hostname or "", parts.port or 0))


@pytest.mark.needs("curl", "rclone")
def test_both_protocols_over_tls_and_a_renewed_certificate(tmp_path: Path) -> None:
    """HTTPS with the configured certificate; SIGHUP takes the new one without a restart."""
    first = certificate(tmp_path, "first")
    files = [f"tls.certificate={tmp_path}/cert.pem", f"tls.key={tmp_path}/key.pem"]
    with RunningServer(tmp_path / "data", "--set", files[0], "--set", files[1]) as server:
        assert server.s3.startswith("https://")
        assert server.admin.startswith("http://")
        login = shlex.quote(f"{ACCESS_KEY}:{SECRET_KEY}")
        curl = f"curl -sS --fail --cacert cert.pem -u {login}"
        shell(f"{curl} -X MKCOL {server.webdav}/over-tls", tmp_path)
        shell(f"{curl} -T key.pem {server.webdav}/over-tls/file", tmp_path)
        remote = {
            "RCLONE_CONFIG_X_TYPE": "s3",
            "RCLONE_CONFIG_X_PROVIDER": "Other",
            "RCLONE_CONFIG_X_ENDPOINT": server.s3,
            "RCLONE_CONFIG_X_ACCESS_KEY_ID": ACCESS_KEY,
            "RCLONE_CONFIG_X_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        found = shell("rclone --ca-cert cert.pem cat X:over-tls/file", tmp_path, **remote)
        assert found == (tmp_path / "key.pem").read_text()
        assert served_certificate(server.s3).strip() == first.strip()
        second = certificate(tmp_path, "second")
        server.signal(signal.SIGHUP)
        limit = time.monotonic() + 20
        while served_certificate(server.webdav).strip() != second.strip():
            assert time.monotonic() < limit
        assert re.search(r'"event": "tls\.reloaded"', server.stderr)
        (tmp_path / "key.pem").write_text("broken")
        server.signal(signal.SIGHUP)
        while "tls.not_reloaded" not in server.stderr:
            assert time.monotonic() < limit
        assert served_certificate(server.s3).strip() == second.strip()
