"""Callback of the tests: one JSON line per result into the file that SLIPWAY_TEST_EVENTS names."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lines
type: notification
short_description: JSON lines for tests
description: [One line per result of a task on a host.]
"""


class CallbackModule(CallbackBase):
    """Writes lines."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "lines"

    def __init__(self):
        super().__init__()
        self.started = {}
        self.file = open(os.environ["SLIPWAY_TEST_EVENTS"], "a", encoding="utf-8", buffering=1)

    def v2_runner_on_start(self, host, task):
        self.started[host.get_name(), task._uuid] = time.time()

    def line(self, kind, result):
        """Writes one line."""
        task, host = result._task, result._host.get_name()
        now = time.time()
        seen = result._result
        print(json.dumps({
            "host": host, "kind": kind, "changed": bool(seen.get("changed")), "role": task._role.get_name() if task._role else "",
            "task": task.name, "action": task.action, "start": self.started.get((host, task._uuid), now), "end": now,
            "message": str(seen.get("msg", "")), "restartable": "restartable" in task.tags, "outputs": seen.get("slipway_outputs"),
        }), file=self.file)

    def v2_runner_on_ok(self, result):
        self.line("ok", result)

    def v2_runner_on_skipped(self, result):
        self.line("skipped", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.line("failed", result)

    def v2_runner_on_unreachable(self, result):
        self.line("unreachable", result)
