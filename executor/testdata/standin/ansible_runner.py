"""Stands in for ansible-runner in unit tests: plays the playbooks of the contract test without Ansible.

The supervisor above it is the real one, and so are processes, files and signals.
"""

import json
import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

HOLD = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)\n"


class Play:
    def __init__(self, handler, variables):
        self.handler = handler
        self.vars = variables
        self.totals = {"ok": {}, "changed": {}, "skipped": {}, "failures": {}, "dark": {}, "rescued": {}, "ignored": {}}

    def emit(self, event, host=None, text="", **data):
        data |= {"host": host, "task": data.get("task", "first"), "role": "role", "play_uuid": "play"}
        self.handler({"event": event, "stdout": text, "event_data": data})

    def ok(self, host, task, res):
        self.emit("runner_on_start", host, task=task)
        self.emit("runner_on_ok", host, task=task, res=res, text=f"ok: [{host}] password={self.vars['password']}")
        self.totals["ok"][host] = self.totals["ok"].get(host, 0) + 1

    def bad(self, host, event, total):
        self.emit("runner_on_start", host, task="second")
        message = f"broken on {host}: password {self.vars['password']} " + "x" * 5000
        self.emit(event, host, task="second", res={"msg": message}, text=message)
        self.totals[total][host] = 1


def run(private_data_dir, playbook, cmdline, event_handler, cancel_callback, timeout, envvars, **_kwargs):
    variables = {}
    words = shlex.split(cmdline)
    for word in words[1::2]:
        with open(word[1:], encoding="utf-8") as f:
            variables |= json.load(f)
    play = Play(event_handler, variables)
    name = os.path.basename(playbook)
    play.emit("playbook_on_start")
    play.emit("playbook_on_play_start", text="\r\nPLAY [all] ****")
    for host in "abcd":
        play.ok(host, "first", {"changed": False})
    if name == "hold.yml":
        release = os.path.join(os.path.dirname(playbook), "release-" + variables["slipway_run"])
        child = subprocess.Popen([sys.executable, "-c", HOLD, release], env=os.environ | envvars, start_new_session=True)
        with open(os.path.join(private_data_dir, "child"), "w", encoding="utf-8") as f:
            f.write(str(child.pid))
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            return SimpleNamespace(status="timeout", rc=254)
        if code != 0 or cancel_callback():
            return SimpleNamespace(status="failed", rc=None if code < 0 else code)
    for host in "abcd":
        if name == "odd.yml" and host == "b":
            play.bad(host, "runner_on_failed", "failures")
        elif name == "odd.yml" and host == "c":
            play.bad(host, "runner_on_unreachable", "dark")
        else:
            play.ok(host, "second", {"changed": True, "slipway_outputs": {"answer": {"value": 42}}})
    if name == "full.yml":
        os.dup2(os.open("/dev/full", os.O_WRONLY), events_of(private_data_dir))
        play.ok("a", "third", {})
    if name == "crash.yml":
        raise RuntimeError("no such thing as " + variables["password"])
    play.emit("playbook_on_stats", **play.totals)
    bad = play.totals["failures"] or play.totals["dark"]
    return SimpleNamespace(status="failed" if bad else "successful", rc=2 if bad else 0)


def events_of(directory):
    """File descriptor of the event file of the supervisor that we run in."""
    path = os.path.join(directory, "events.jsonl")
    for fd in os.listdir("/proc/self/fd"):
        if os.path.realpath("/proc/self/fd/" + fd) == os.path.realpath(path):
            return int(fd)
    raise FileNotFoundError(path)
