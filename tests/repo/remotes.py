# SPDX-License-Identifier: Apache-2.0
"""Real Git remotes on loopback ports: lighttpd with git http-backend, sshd; and ways to disturb them."""

import base64
import ctypes
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import faultproxy  # noqa: E402

BACKEND = "/usr/lib/git-core/git-http-backend"
NEEDED = ("git", "lighttpd", "/usr/sbin/sshd", "ssh-keygen", "openssl", BACKEND)


def end_with_parent():
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM


def missing():
    return [program for program in NEEDED if not shutil.which(program)]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"server ended with {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("server does not listen")


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **options).stdout


GIT_ENV = dict(
    os.environ,
    GIT_CONFIG_GLOBAL="/dev/null",
    GIT_CONFIG_SYSTEM="/dev/null",
    GIT_CONFIG_COUNT="2",
    GIT_CONFIG_KEY_0="safe.directory",
    GIT_CONFIG_VALUE_0="*",
    GIT_CONFIG_KEY_1="protocol.file.allow",
    GIT_CONFIG_VALUE_1="always",
    GIT_AUTHOR_NAME="Alice",
    GIT_AUTHOR_EMAIL="alice@example.org",
    GIT_COMMITTER_NAME="Alice",
    GIT_COMMITTER_EMAIL="alice@example.org",
)


class Repository:
    """A bare repository and a work tree that pushes to it."""

    def __init__(self, root, name):
        self.bare = root / f"{name}.git"
        self.work = root / f"{name}.work"
        run("git", "init", "-q", "--bare", "--initial-branch=main", str(self.bare))
        run("git", "-C", str(self.bare), "config", "receive.denyDeleteCurrent", "ignore")
        run("git", "init", "-q", "--initial-branch=main", str(self.work))
        self.git("remote", "add", "origin", str(self.bare))

    def git(self, *args, **options):
        return run("git", "-C", str(self.work), *args, env=GIT_ENV, **options).strip()

    def commit(self, message="change", files=None, push=True, **options):
        for name, content in (files or {}).items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, **options)
        if push:
            self.push()
        return self.git("rev-parse", "HEAD")

    def push(self, *args):
        self.git("push", "-q", "--force", "origin", *(args or ("HEAD:refs/heads/main",)))


class Servers:
    """Starts everything below `root`; repositories live in root/git."""

    USER, PASSWORD = "lab", "lab-git-Password-7"

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.repositories = self.root / "git"
        self.repositories.mkdir()
        self.processes = []
        self.http_port, self.https_port, self.old_port = free_port(), free_port(), free_port()
        self.other_port, self.expired_port, self.ssh_port = free_port(), free_port(), free_port()
        self.make_certificates()
        self.start_http()
        self.start_ssh()

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=10)

    def spawn(self, port, *argv):
        log = open(self.root / f"{pathlib.Path(argv[0]).name}.log", "ab")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=GIT_ENV,
                                   preexec_fn=end_with_parent)
        log.close()
        self.processes.append(process)
        wait_for_port(port, process)

    def make_certificates(self):
        d = self.root
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=test CA", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", f"{d}/ca.key",
            "-out", f"{d}/ca.pem")
        (d / "san").write_text("subjectAltName=IP:127.0.0.1\n")
        (d / "index.txt").write_text("")
        (d / "ca.conf").write_text(f"""
[ca]
default_ca = test
[test]
database = {d}/index.txt
new_certs_dir = {d}
certificate = {d}/ca.pem
private_key = {d}/ca.key
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
[any]
commonName = supplied
""")
        for name, dates in (("server", ["-days", "30"]),
                            ("expired", ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"])):
            run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=127.0.0.1", "-keyout", f"{d}/{name}.key", "-out", f"{d}/{name}.csr")
            run("openssl", "ca", "-batch", "-notext", "-config", f"{d}/ca.conf", "-in", f"{d}/{name}.csr", *dates,
                "-extfile", f"{d}/san", "-out", f"{d}/{name}.pem")

    def start_http(self):
        d = self.root
        (d / "users").write_text(f"{self.USER}:{self.PASSWORD}\n")
        (d / "lighttpd.conf").write_text(f"""
server.modules = ("mod_auth", "mod_authn_file", "mod_redirect", "mod_alias", "mod_setenv", "mod_cgi", "mod_accesslog",
                  "mod_openssl")
server.document-root = "{d}"
server.bind = "127.0.0.1"
server.port = {self.http_port}
server.errorlog = "/dev/stderr"
server.upload-dirs = ("{d}")
accesslog.filename = "{d}/access.log"
accesslog.format = "%p %m %U %s auth=%{{Authorization}}i"
alias.url = ("/git/" => "{BACKEND}/", "/private/" => "{BACKEND}/")
auth.backend = "plain"
auth.backend.plain.userfile = "{d}/users"
auth.require = ("/private/" => ("method" => "basic", "realm" => "test", "require" => "valid-user"))
url.redirect = ("^/moved/(.*)" => "http://localhost:{self.other_port}/git/$1",
                "^/leak/(.*)" => "https://bob:secret@example.org/git/$1")
url.redirect-code = 302
cgi.assign = ("" => "")
setenv.set-environment = ("GIT_PROJECT_ROOT" => "{self.repositories}", "GIT_HTTP_EXPORT_ALL" => "1",
    "GIT_CONFIG_COUNT" => "1", "GIT_CONFIG_KEY_0" => "safe.directory", "GIT_CONFIG_VALUE_0" => "*")
$SERVER["socket"] == "127.0.0.1:{self.https_port}" {{
    ssl.engine = "enable"
    ssl.pemfile = "{d}/server.pem"
    ssl.privkey = "{d}/server.key"
}}
$SERVER["socket"] == "127.0.0.1:{self.expired_port}" {{
    ssl.engine = "enable"
    ssl.pemfile = "{d}/expired.pem"
    ssl.privkey = "{d}/expired.key"
}}
$SERVER["socket"] == "127.0.0.1:{self.other_port}" {{ }}
# a server of protocol version 0
$SERVER["socket"] == "127.0.0.1:{self.old_port}" {{ setenv.set-request-header = ("Git-Protocol" => "") }}
""")
        self.spawn(self.http_port, shutil.which("lighttpd"), "-D", "-f", f"{d}/lighttpd.conf")

    def start_ssh(self):
        d = self.root
        self.user = pwd.getpwuid(os.getuid()).pw_name
        for name, kind in (("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("client", "ed25519"),
                           ("client_ecdsa", "ecdsa"), ("stranger", "ed25519"), ("client_rsa", "rsa"),
                           ("other_host", "ed25519")):
            run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", f"{d}/{name}")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "phrase", "-f", f"{d}/client_phrase")
        authorized = "".join((d / f"{k}.pub").read_text() for k in ("client", "client_ecdsa", "client_rsa"))
        (d / "authorized_keys").write_text(authorized)
        (d / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1:{self.ssh_port}
HostKey {d}/host_ed25519
HostKey {d}/host_ecdsa
AuthorizedKeysFile {d}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
SetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*
""")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.spawn(self.ssh_port, "/usr/sbin/sshd", "-D", "-e", "-f", f"{d}/sshd_config")

    def host_key(self, name):
        return " ".join((self.root / f"{name}.pub").read_text().split()[:2])

    def accesses(self):
        """What the web servers were asked: [port, method, path, status, authorization]."""
        mark = f"/mark-{time.monotonic_ns()}"
        with socket.create_connection(("127.0.0.1", self.http_port)) as s:
            s.sendall(f"GET {mark} HTTP/1.0\r\n\r\n".encode())
            s.recv(65536)
        for _ in range(100):  # the log is written every few seconds
            lines = (self.root / "access.log").read_text().splitlines()
            if any(mark in line for line in lines):
                return [line.replace("auth=", "").split(" ", 4) for line in lines]
            time.sleep(0.1)
        raise RuntimeError("no access log")

    def basic(self):
        return "Basic " + base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()


class Disturber(faultproxy.Proxy):
    """A server for one trouble: `forward_to` a real server and cut the answer after so many bytes or slow it down; or no answer at all; or one
    fixed answer."""

    def __init__(self, forward_to=None, cut_after=None, byte_per_s=0, answer=None):
        super().__init__(forward_to or 0)
        self.fault(silent=forward_to is None and answer is None, answer=answer, cut_after=cut_after, throttle=byte_per_s)
