"""What the modules of Slipway share: the state directory, files written in one step, commands that speak when they fail."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import tempfile

STATE = "/var/lib/slipway"
# kubectl would otherwise leave a cache in the home of root.
ENVIRONMENT = {"LC_ALL": "C", "KUBECACHEDIR": "/run/slipway/kubectl", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class Trouble(Exception):
    """Something went wrong; the text is for people and holds no secret."""


def digest(value) -> str:
    """Digest of any JSON value, the same for the same value."""
    return "sha256:" + hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def read(path: str) -> bytes | None:
    """Content of a file, None when there is none. A process or a cgroup may go between the opening of its file and the reading."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESRCH, errno.ENODEV):
            return None
        raise


def write(path: str, content: bytes, mode: int = 0o644, check: bool = False) -> bool:
    """Makes a file have this content and mode, in one step that also survives a power cut. Tells whether it did not before."""
    if read(path) == content and os.stat(path).st_mode & 0o7777 == mode:
        return False
    if check:
        return True
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, fresh = tempfile.mkstemp(prefix=".slipway-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(content)
            f.flush()
            os.fchmod(f.fileno(), mode)
            os.fsync(f.fileno())
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise
    sync_directory(os.path.dirname(path))
    return True


def sync_directory(path: str) -> None:
    """Brings the names in a directory to the disk; a file that was renamed may otherwise have its old name after a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: str) -> bool:
    """Removes a file; tells whether there was one."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


STAGE_OPTION = {"stage": {"type": "dict", "options": {"name": {"type": "str", "required": True}, "digest": {"type": "str", "required": True}}}}


def stamp(stage: dict | None, check: bool = False) -> bool:
    """Stamps a stage as finished; the last task of a stage does it, when all else is done. Tells whether it was not stamped so."""
    if not stage:
        return False
    return write(os.path.join(STATE, "stages", stage["name"]), (stage["digest"] + "\n").encode(), 0o600, check)


def place(files: list[dict], directories: dict, secrets: dict, check: bool = False) -> list[str]:
    """Makes directories (mode in octal by path), files (path, content, mode) and files of mode 0600 (content by path); names what was not so."""
    paths = [path for path, mode in directories.items() if make_directory(path, int(mode, 8), check)]
    paths += [f["path"] for f in files if write(f["path"], f["content"].encode(), int(f["mode"], 8), check)]
    return paths + [path for path, content in secrets.items() if write(path, content.encode(), 0o600, check)]


def make_directory(path: str, mode: int, check: bool) -> bool:
    """Makes a directory with this mode; tells whether it was not so."""
    if os.path.isdir(path) and os.stat(path).st_mode & 0o7777 == mode:
        return False
    if not check:
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
    return True


FILES_OPTIONS = {
    "files": {"type": "list", "elements": "dict", "default": [], "options": {
        "path": {"type": "path", "required": True}, "content": {"type": "str", "required": True}, "mode": {"type": "str", "default": "0644"}}},
    "directories": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
}


def run(*words: str, data: bytes | None = None, timeout: int = 600, env: dict | None = None) -> str:
    """Output of a command; Trouble with the last lines that it printed when it fails."""
    try:
        done = subprocess.run(words, input=data or b"", capture_output=True, timeout=timeout, check=False, env={**os.environ, **ENVIRONMENT, **(env or {})})
    except FileNotFoundError as e:
        raise Trouble(f"{words[0]} is not on this host") from e
    except subprocess.TimeoutExpired as e:
        raise Trouble(f"{' '.join(words[:3])} did not end within {timeout} s") from e
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise Trouble(f"{' '.join(words[:3])} ended with {done.returncode}: " + " | ".join(said[-6:]))
    return done.stdout.decode(errors="replace")


def succeeds(*words: str) -> bool:
    """Tells whether a command ends with 0."""
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, env={**os.environ, **ENVIRONMENT}).returncode == 0
