"""Supervisor of one run: starts ansible-runner, turns its events into lines of JSON, and writes down how it ended.

It outlives the operator. It is given one argument, the path of run.json, and needs nothing but ansible-runner:
  work     directory that it writes to: pid, control, events.jsonl, log, result.json (or, with stream, lines on stdout)
  input    directory with inventory.yaml, vars.json and known_hosts
  secrets  directory with vars.json and keys/; emptied when the run ends, if ownSecrets says that it is ours
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback

MESSAGE_BYTES = 1024
DATA_BYTES = 256 * 1024
HIDDEN = "***"
PR_SET_CHILD_SUBREAPER = 36


class Scrubber:
    """Takes secret values out of text: whole values, lines of keys, and long words and tokens inside of documents."""

    def __init__(self, directory):
        self.words = set()
        path = os.path.join(directory, "vars.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self._collect(json.load(f))
        keys = os.path.join(directory, "keys")
        for name in os.listdir(keys) if os.path.isdir(keys) else []:
            with open(os.path.join(keys, name), encoding="utf-8", errors="replace") as f:
                self._collect(f.read())
        self.words = sorted(self.words, key=len, reverse=True)

    def _collect(self, value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                self._collect(one)
        elif isinstance(value, str):
            self._collect_text(value.strip())

    def _collect_text(self, text):
        if "\n" not in text:
            self._add(text, 6)
            if re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", text):
                self._add(text[7:], 6)
            return
        self._add(text, 6)
        private = "PRIVATE KEY-----" in text
        for line in text.splitlines() if private else []:
            if not line.startswith("-----"):
                self._add(line.strip(), 8)
        for token in re.findall(r"\b[a-z0-9]{6}\.([a-z0-9]{16})\b", text):
            self._add(token, 6)
        for word in re.findall(r"[A-Za-z0-9+/=_-]{32,}", text):
            self._add(word, 32)

    def _add(self, word, shortest):
        if len(word) >= shortest:
            self.words.add(word)

    def text(self, text):
        for word in self.words:
            if word in text:
                text = text.replace(word, HIDDEN)
        return text

    def value(self, value):
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, dict):
            return {k: self.value(v) for k, v in value.items()}
        return value

    def message(self, text):
        """At most MESSAGE_BYTES bytes, cut between characters, without secrets."""
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.text(text)).strip()
        return text.encode("utf-8", "replace")[:MESSAGE_BYTES].decode("utf-8", "ignore")


class Files:
    """Writes to files of the run. The place for the result is taken beforehand, so that a full disk can be reported."""

    def __init__(self, work):
        self.work = work
        self.events = self._open("events.jsonl")
        self.lines = self._open("log")
        self.reserved = os.path.join(work, ".result")
        with open(self.reserved, "wb", opener=private) as f:
            f.write(b" " * 4096)
            f.flush()
            os.fsync(f.fileno())

    def _open(self, name):
        return os.open(os.path.join(self.work, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def event(self, event):
        write_all(self.events, event)

    def log(self, text):
        write_all(self.lines, text)

    def result(self, result):
        with open(self.reserved, "r+b") as f:
            f.write(json.dumps(result).encode())
            f.truncate()
            f.flush()
            os.fsync(f.fileno())
        os.rename(self.reserved, os.path.join(self.work, "result.json"))


class Stream:
    """Writes everything to stdout, for a place where the log of the process is all that is kept."""

    def __init__(self, _work):
        pass

    def event(self, event):
        write_all(1, '{"event":' + event.rstrip("\n") + "}\n")

    def log(self, text):
        write_all(1, json.dumps({"log": text}) + "\n")

    def result(self, result):
        write_all(1, json.dumps({"result": result}) + "\n")
        try:
            with open("/dev/termination-log", "w", encoding="utf-8") as f:
                json.dump(result, f)
        except OSError:
            pass


def private(path, flags):
    return os.open(path, flags, 0o600)


def write_all(fd, text):
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(fd, data):]


def descendants(root):
    """All processes below one, found by their parents; orphans are ours because we are their subreaper."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(name))
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def kill_descendants():
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def end_descendants():
    """Kills until nothing is left that could still work on a host."""
    while True:
        kill_descendants()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def count_plays(path):
    """How many plays a playbook has, imported ones included; None when that cannot be told."""
    total = 0
    try:
        import yaml

        class Loader(yaml.SafeLoader):
            pass

        Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
        with open(path, encoding="utf-8") as f:
            plays = yaml.load(f, Loader=Loader)  # noqa: S506, a SafeLoader
        for play in plays:
            imported = play.get("import_playbook") or play.get("ansible.builtin.import_playbook")
            more = count_plays(os.path.join(os.path.dirname(path), imported)) if imported else 1
            if more is None:
                return None
            total += more
    except Exception:  # noqa: BLE001, whatever it is, the playbook cannot be counted
        return None
    return total


class Supervisor:
    """One run from its start to its result."""

    def __init__(self, spec):
        self.spec = spec
        self.work = spec["work"]
        self.scrub = Scrubber(spec["secrets"])
        self.out = (Stream if spec.get("stream") else Files)(self.work)
        self.sequence = 0
        self.plays = set()
        self.stats = False
        self.asked = False
        self.broken = ""
        self.tail = []
        self.control = ""

    # Events

    def handle(self, event):
        """Handler of ansible-runner. It never raises: an error of ours must not look like one of the playbook."""
        try:
            self._handle(event)
        except OSError as e:
            self._break(f"recording events: {e.strerror or e}")
        except Exception as e:  # noqa: BLE001
            print(self.scrub.text(traceback.format_exc()), file=sys.stderr)
            self._break(f"reading an event of ansible-runner: {type(e).__name__}: {e}")
        return False

    def _break(self, why):
        if not self.broken:
            self.broken = why
            kill_descendants()

    def _handle(self, event):
        kind = event.get("event", "")
        text = event.get("stdout") or ""
        if text:
            clean = self.scrub.text(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)).replace("\r\n", "\n").rstrip("\n")
            self.out.log(clean + "\n")
            self.tail = (self.tail + [clean])[-8:]
        data = event.get("event_data") or {}
        handler = getattr(self, "_on_" + kind, None)
        if handler:
            handler(data)

    def emit(self, kind, data, message="", value=None):
        self.sequence += 1
        event = {"sequence": self.sequence, "kind": kind}
        for field in ("host", "role", "task"):
            if data.get(field):
                event[field] = str(data[field])
        if message:
            event["message"] = self.scrub.message(message)
        if value is not None:
            event["data"] = self.scrub.value(value)
            if len(json.dumps(event["data"])) > DATA_BYTES:
                event["data"] = None
                event["message"] = f"the value is larger than {DATA_BYTES} bytes and was dropped"
        self.out.event(json.dumps(event, separators=(",", ":")) + "\n")

    def _on_playbook_on_start(self, _data):
        # Ansible has read the secret vars by now, so the file need not live on.
        if self.spec.get("ownSecrets"):
            remove(os.path.join(self.spec["secrets"], "vars.json"))

    def _on_playbook_on_play_start(self, data):
        self.plays.add(str(data.get("play_uuid", "")).split("_")[0])

    def _on_runner_on_start(self, data):
        self.emit("task-start", data)

    def _on_runner_on_ok(self, data):
        res = data.get("res") or {}
        self.emit("changed" if res.get("changed") else "ok", data)
        if isinstance(res.get("stage"), dict):
            self.emit("stage", data, value=res["stage"])
        if isinstance(res.get("slipway_outputs"), dict):
            for name, value in sorted(res["slipway_outputs"].items()):
                self.emit("output", data | {"task": name}, value=value)

    def _on_runner_on_failed(self, data):
        if data.get("ignore_errors"):
            self.emit("ok", data, message=explain(data.get("res")))
        else:
            self.emit("failed", data, message=explain(data.get("res")))

    def _on_runner_on_unreachable(self, data):
        self.emit("unreachable", data, message=explain(data.get("res")))

    def _on_runner_on_skipped(self, data):
        self.emit("skipped", data)

    def _on_playbook_on_stats(self, data):
        self.stats = True
        keep = ("ok", "changed", "skipped", "failures", "dark", "rescued", "ignored")
        totals = {k: data[k] for k in keep if isinstance(data.get(k), dict)}
        plays = count_plays(self.playbook())
        if plays is not None and len(self.plays) < plays:
            totals["stopped"] = f"the playbook stopped after {len(self.plays)} of {plays} plays, because all hosts of a play failed"
        self.emit("stats", {}, value=totals)

    # Running

    def playbook(self):
        return os.path.join(self.spec["content"], "playbooks", self.spec["playbook"] + ".yml")

    def environment(self):
        directory = os.path.join(self.work, "tmp")
        os.makedirs(directory, mode=0o700, exist_ok=True)
        base = tempfile.gettempdir()
        self.control = tempfile.mkdtemp(prefix="slipway-", dir=base if len(base) < 50 else "/tmp")
        with open(os.path.join(self.work, "control"), "w", encoding="utf-8", opener=private) as f:
            f.write(self.control)
        return {
            "ANSIBLE_CONFIG": os.path.join(self.spec["content"], "ansible.cfg"),
            "ANSIBLE_HOME": directory,
            "ANSIBLE_LOCAL_TEMP": directory,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self.control,
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_NOCOLOR": "1",
        }

    def extra_vars(self):
        """Arguments that name the files with the vars: no value is ever seen in a process list."""
        own = os.path.join(self.work, "own-vars.json")
        with open(own, "w", encoding="utf-8", opener=private) as f:
            json.dump({
                "slipway_run": self.spec["name"],
                "slipway_key_dir": os.path.join(self.spec["secrets"], "keys"),
                "slipway_known_hosts": os.path.join(self.spec["input"], "known_hosts"),
            }, f)
        paths = [os.path.join(self.spec[d], "vars.json") for d in ("input", "secrets")] + [own]
        return shlex.join([word for path in paths if os.path.exists(path) for word in ("-e", "@" + path)])

    def run(self):
        import ansible_runner

        # ansible-runner drops the settings that it is given as an argument when this file is missing.
        os.makedirs(os.path.join(self.work, "env"), mode=0o700, exist_ok=True)
        with open(os.path.join(self.work, "env", "settings"), "w", encoding="utf-8", opener=private) as f:
            json.dump({"suppress_output_file": True, "suppress_ansible_output": True, "pexpect_timeout": 1}, f)
        runner = ansible_runner.run(
            private_data_dir=self.work, ident="run", quiet=True, suppress_env_files=True, fact_cache_type="none",
            project_dir=self.spec["content"], playbook=self.playbook(), inventory=os.path.join(self.spec["input"], "inventory.yaml"),
            cmdline=self.extra_vars(), forks=self.spec["forks"], timeout=self.spec["timeoutSeconds"], envvars=self.environment(),
            event_handler=self.handle, cancel_callback=lambda: self.asked or bool(self.broken),
        )
        return runner.status, runner.rc

    def ask(self, *_):
        """Somebody asks us to end: the operator, who leaves a word about it, or a host that shuts down."""
        self.asked = True
        kill_descendants()

    def cancelled(self):
        return os.path.exists(os.path.join(self.work, "cancel"))

    def judge(self, status, rc):
        """Phase and message of the run; results per host are for the reader of the events."""
        if self.cancelled():
            return "Cancelled", "the run was cancelled"
        if self.asked:
            return "Lost", "the supervisor of the run was asked to end, though nobody cancelled the run"
        if self.broken:
            return "Failed", self.broken
        if status == "timeout":
            return "Failed", f"the run took longer than {self.spec['timeoutSeconds']} seconds and was ended"
        if self.stats:
            return ("Succeeded" if rc == 0 else "Failed"), ""
        if rc is None or rc < 0 or rc > 128:
            return "Lost", "ansible-playbook was killed before it could say how its hosts are"
        return "Failed", f"ansible-playbook ended with code {rc} and no totals: " + "\n".join(self.tail)

    def main(self):
        signal.signal(signal.SIGTERM, self.ask)
        status, rc = "error", None
        try:
            if self.cancelled():
                status = "canceled"
            else:
                status, rc = self.run()
            phase, message = self.judge(status, rc)
        except Exception as e:  # noqa: BLE001
            print(self.scrub.text(traceback.format_exc()), file=sys.stderr)
            phase, message = "Failed", f"running ansible-runner: {type(e).__name__}: {e}"
        end_descendants()
        self.clean()
        try:
            self.out.result({"phase": phase, "message": self.scrub.message(message), "timedOut": status == "timeout"})
        except OSError as e:
            print(f"writing the result: {e}", file=sys.stderr)
            return 1
        return 0

    def clean(self):
        """Secrets first; what Ansible left may hold values that were not hidden."""
        if self.spec.get("ownSecrets"):
            shutil.rmtree(self.spec["secrets"], ignore_errors=True)
        for path in (os.path.join(self.work, "artifacts"), os.path.join(self.work, "tmp"), self.control):
            if path:
                shutil.rmtree(path, ignore_errors=True)


def explain(res):
    """What a failed task says, in the words that help most."""
    if not isinstance(res, dict):
        return str(res or "")
    if "censored" in res:
        return "the result is hidden because it may hold secrets (no_log)"
    failed = [r for r in res.get("results") or [] if isinstance(r, dict) and (r.get("failed") or r.get("unreachable"))]
    if failed:
        return explain(failed[0]) + (f" (and {len(failed) - 1} more items)" if len(failed) > 1 else "")
    parts = [str(res.get("msg") or "").strip()]
    for field in ("stderr", "module_stderr", "stdout", "module_stdout"):
        text = str(res.get(field) or "").strip()
        if text and text not in parts[0]:
            parts.append(text[-600:])
            break
    return ": ".join(p for p in parts if p) or "the task failed and said nothing"


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def claim(work):
    """Writes down who we are, at once or not at all; False when another supervisor has the run."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as f:
        started = f.read().rpartition(")")[2].split()[19]
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as f:
        boot = f.read().strip()
    own = os.path.join(work, f".pid.{os.getpid()}")
    with open(own, "w", encoding="utf-8", opener=private) as f:
        json.dump({"pid": os.getpid(), "started": started, "boot": boot}, f)
    try:
        os.link(own, os.path.join(work, "pid"))
    except FileExistsError:
        return False
    finally:
        os.unlink(own)
    return True


def main():
    os.umask(0o077)
    with open(sys.argv[1], encoding="utf-8") as f:
        spec = json.load(f)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not spec.get("stream") and not claim(spec["work"]):
        return 0
    return Supervisor(spec).main()


if __name__ == "__main__":
    sys.exit(main())
