"""A connection that never comes about."""

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: broken
short_description: never connects
description: Never connects.
author: Slipway
"""


class Connection(ConnectionBase):
    transport = "broken"

    def _connect(self):
        raise AnsibleConnectionFailure("broken on " + self._play_context.remote_addr)

    def exec_command(self, cmd, in_data=None, sudoable=True):
        self._connect()

    def put_file(self, in_path, out_path):
        self._connect()

    def fetch_file(self, in_path, out_path):
        self._connect()

    def close(self):
        pass
