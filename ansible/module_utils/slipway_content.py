"""Contents of a bundle on a host: fetched by digest from mirrors, resumed, checked, unpacked, recorded and removed."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from ansible.module_utils.slipway import STATE, Trouble, read, remove, run, write

ROOT = "/"
INSTALLED = os.path.join(STATE, "installed")
INCOMING = os.path.join(STATE, "incoming")
# Begin the lines of a record that name an image or a package; its archive is deleted once it is imported or installed.
IMAGE, PACKAGE = MARKS = ("image ", "package ")
CHUNK = 1 << 20
KEPT = {"/", "/opt", "/usr", "/usr/local", "/usr/local/bin", "/var/lib", STATE}
ROUNDS = 5
# Seconds before the second round through all mirrors; twice as long before each further one.
PAUSE = 1
# An archive and what it unpacks to need about this many times the size of the archive.
ROOM = 4


def record_path(name: str) -> str:
    """Path of the record of one content: a line with its digest, then a line per file or other thing that it brought."""
    return os.path.join(INSTALLED, name + ".list")


def recorded(name: str) -> tuple[str, list[str]]:
    """Digest and lines of the record of a content; empty when it is not installed."""
    lines = (read(record_path(name)) or b"").decode().splitlines()
    return (lines[0].removeprefix("# "), lines[1:]) if lines else ("", [])


def record(name: str, digest: str, lines: list[str]) -> None:
    """Writes the record of a content."""
    write(record_path(name), "\n".join([f"# {digest}", *lines, ""]).encode(), 0o600)


def forget(name: str) -> None:
    """Removes the record of a content."""
    remove(record_path(name))


def is_installed(name: str, digest: str) -> bool:
    """Tells whether this content was unpacked and all its files are still there."""
    found, files = recorded(name)
    return found == digest and all(os.path.lexists(ROOT + f) for f in files)


def is_there(name: str, digest: str) -> bool:
    """Tells whether this content was unpacked, and imported or installed since then if it is archives of images or packages."""
    found, lines = recorded(name)
    return found == digest and all(line.startswith(MARKS) or os.path.lexists(ROOT + line) for line in lines)


def check_room(size: int) -> None:
    """Refuses when the disk cannot take archives of this many bytes and what they unpack to."""
    os.makedirs(INCOMING, mode=0o700, exist_ok=True)
    free = shutil.disk_usage(INCOMING).free
    if free < ROOM * size:
        raise Trouble(f"no space: the contents need about {ROOM * size >> 20} MiB on the disk of {STATE}, {free >> 20} MiB are free")


def delete_files(files: list[str]) -> None:
    """Deletes files named relative to the root, and directories that became empty and that no system has from birth."""
    for name in files:
        remove(ROOT + name)
    for directory in sorted({os.path.dirname(ROOT + f) for f in files}, reverse=True):
        while directory not in KEPT and os.path.isdir(directory) and not os.listdir(directory):
            os.rmdir(directory)
            directory = os.path.dirname(directory)


class Mirrors:
    """Where blobs come from: base URLs that are tried in order, with the authority that signed their certificates."""

    def __init__(self, urls: list[str], authority: str):
        self.urls = urls
        self.context = ssl.create_default_context(cadata=authority or None)

    def fetch(self, digest: str, size: int) -> str:
        """Path of a blob that was fetched whole and checked; continues where an earlier attempt ended."""
        check_room(size)
        path = os.path.join(INCOMING, digest.removeprefix("sha256:"))
        problems = []
        for turn in range(ROUNDS):
            time.sleep(PAUSE * 2 ** (turn - 1) if turn else 0)
            for base in self.urls:
                try:
                    self._continue(f"{base.rstrip('/')}/blobs/{digest.replace(':', '/')}", path, size)
                    if file_digest(path) == digest:
                        return path
                    remove(path)
                    problems.append(f"{base}: the bytes do not have the digest")
                except (OSError, http.client.HTTPException) as e:
                    problems.append(f"{base}: {e}")
        raise Trouble(f"fetching {digest[:19]} from every mirror: " + "; ".join(dict.fromkeys(problems)))

    def _continue(self, url: str, path: str, size: int) -> None:
        have = os.path.getsize(path) if os.path.exists(path) else 0
        if have == size:
            return
        if have > size:
            remove(path)
            have = 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        with urllib.request.urlopen(request, timeout=30, context=self.context) as answer:
            # A mirror that does not know ranges sends the whole blob.
            with open(path, "ab" if answer.status == http.client.PARTIAL_CONTENT else "wb") as f:
                shutil.copyfileobj(answer, f, CHUNK)
        if os.path.getsize(path) != size:
            raise OSError(f"{os.path.getsize(path)} of {size} bytes arrived")


def file_digest(path: str) -> str:
    """Digest of a file."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(CHUNK):
            h.update(chunk)
    return "sha256:" + h.hexdigest()


def unpack(archive: str, name: str) -> list[str]:
    """Unpacks an archive relative to the root and lists its files; tar replaces files, so programs may be running."""
    command = ["tar", "--extract", "--gzip", "--verbose", "--no-same-owner", "--no-overwrite-dir", "--file", archive, "--directory", ROOT]
    files = []
    # Each name goes into the record before the file is whole: whatever a cut-off attempt placed can be removed.
    with open(record_path(name), "a", buffering=1) as log, \
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"}) as tar:
        for line in tar.stdout:
            if not line.endswith("/\n"):
                files.append(line.rstrip("\n"))
                log.write(line)
        complaint = tar.stderr.read().strip()
    if tar.returncode != 0:
        raise Trouble(f"unpacking {name}: " + " | ".join(complaint.splitlines()[-3:]))
    return files


def install(mirrors: Mirrors, name: str, digest: str, size: int, transient: bool = False) -> list[str]:
    """Fetches and unpacks one content unless it is there, takes away the files of an older one under the same name, and lists the files.

    Transient files are read once and deleted: they need not survive a power cut, if their reader calls the record incomplete when it cannot read them.
    """
    if is_installed(name, digest):
        return recorded(name)[1]
    old = [line for line in recorded(name)[1] if not line.startswith(MARKS)]
    archive = mirrors.fetch(digest, size)
    record(name, "incomplete", old)
    files = unpack(archive, name)
    if not transient:
        # The record must not outlive the bytes: a host may lose power at any time.
        run("sync", "--", *[ROOT + f for f in files])
    os.unlink(archive)
    delete_files([f for f in old if f not in files])
    record(name, digest, files)
    return files
