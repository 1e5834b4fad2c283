"""Connection plugin: ssh under the lease of the host. See DOCUMENTATION."""

from __future__ import annotations

import hashlib
import shlex

import yaml

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ssh

DOCUMENTATION = """
name: slipway_ssh
short_description: SSH that runs every command under the lease of the host
description:
  - Runs each remote command through C(/var/lib/slipway/fence run), which refuses when another generation or operation
    holds the host and puts the command into a scope that the next holder can end.
  - The fence needs root, so the plugin elevates itself with C(sudo -n) when O(remote_user) is not root; C(become) is not used.
  - Host keys of hosts and bastions must be in O(known_hosts); nothing else is trusted and no user's ssh configuration is read.
  - Takes all options of the plugin C(ssh) as well.
author: Slipway
options:
  generation:
    description: Generation of the lease that the run holds on this host.
    type: int
    required: true
    vars: [{name: slipway_generation}]
  operation:
    description: Name of the run that took the lease.
    type: str
    required: true
    vars: [{name: slipway_operation}]
  known_hosts:
    description: Path of an OpenSSH known_hosts file with the pinned keys of all hosts and bastions.
    type: path
    required: true
    vars: [{name: slipway_known_hosts}]
  bastion:
    description: Host to go through, a mapping of address, port and user; the key is that of the host.
    type: dict
    vars: [{name: slipway_bastion}]
"""

EXAMPLES = """
# Inventory
all:
  vars: {ansible_connection: slipway_ssh, slipway_operation: 5b0c-1, slipway_known_hosts: known_hosts}
  hosts:
    r07-u12: {ansible_host: 198.18.0.12, ansible_user: ops, slipway_generation: 3, slipway_bastion: {address: 198.18.0.2, port: 22, user: jump}}
"""

# A host that lost power is noticed within 40 s. There is no second try: the lost command may still run on the host, and
# only the next holder of the lease ends it.
SSH_OPTIONS = ("-F none -o ControlMaster=auto -o ControlPersist=60s -o BatchMode=yes -o IdentitiesOnly=yes "
               "-o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no "
               "-o ConnectionAttempts=3 -o ServerAliveInterval=10 -o ServerAliveCountMax=4")

FENCE = "/var/lib/slipway/fence"
REFUSALS = (b"fence: ", b"sudo: ", b"/var/lib/slipway/fence: ")


def _with_options_of_ssh(documentation: str) -> str:
    """Options of ssh with its defaults replaced where a fence needs others; Ansible reads them when it loads the plugin."""
    merged = yaml.safe_load(documentation)
    options = yaml.safe_load(ssh.DOCUMENTATION)["options"]
    options["ssh_args"] = {"description": "Options of OpenSSH.", "type": "string", "default": SSH_OPTIONS}
    # sftp and scp would go around the fence.
    options["ssh_transfer_method"] = {"description": "How files travel.", "type": "string", "default": "piped", "choices": ["piped"]}
    merged["options"] = options | merged["options"]
    merged["extends_documentation_fragment"] = ["connection_pipelining"]
    return yaml.safe_dump(merged)


# Not a plain assignment: tools that read the documentation without running the plugin shall see the literal above.
globals().update(DOCUMENTATION=_with_options_of_ssh(DOCUMENTATION))


class Connection(ssh.Connection):
    """OpenSSH with every command under the fence."""

    transport = "slipway_ssh"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        # Without a terminal: nothing prompts, and a lost client ends nothing by chance.
        code, stdout, stderr = super().exec_command(self._fenced(cmd), in_data=in_data, sudoable=False)
        if code != 0 and stderr.startswith(REFUSALS):
            raise AnsibleConnectionFailure(stderr.decode(errors="replace").strip())
        return code, stdout, stderr

    def _fenced(self, cmd):
        words = [] if self.get_option("remote_user") == "root" else ["sudo", "-n"]
        words += [FENCE, "run", str(self.get_option("generation")), self.get_option("operation"), "--", "/bin/sh", "-c", cmd]
        return shlex.join(words)

    def _build_command(self, binary, subsystem, *other_args):
        # A connection of another run may have been opened with other pins, so none is shared between runs.
        seed = "\0".join(str(self.get_option(o)) for o in ("host", "port", "remote_user", "operation", "known_hosts", "bastion"))
        self.set_option("control_path", "%(directory)s/" + hashlib.sha256(seed.encode()).hexdigest()[:16])
        known_hosts = 'UserKnownHostsFile="%s"' % self.get_option("known_hosts")
        arguments = ["-o", known_hosts]
        if self.get_option("bastion"):
            arguments += ["-o", "ProxyCommand=" + self._proxy_command(known_hosts)]
        self.set_option("ssh_common_args", shlex.join(arguments))
        return super()._build_command(binary, subsystem, *other_args)

    def _proxy_command(self, known_hosts):
        bastion = self.get_option("bastion")
        words = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
                 "-o", "GlobalKnownHostsFile=/dev/null", "-o", known_hosts, "-o", "ConnectTimeout=10",
                 "-p", str(bastion.get("port", 22)), "-l", bastion["user"]]
        if self.get_option("private_key_file"):
            words += ["-i", self.get_option("private_key_file")]
        return shlex.join([*words, "-W", "[%h]:%p", bastion["address"]])
