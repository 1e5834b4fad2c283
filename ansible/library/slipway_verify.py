"""Module slipway_verify. See DOCUMENTATION."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import ENVIRONMENT, Trouble, run

DOCUMENTATION = """
module: slipway_verify
short_description: Proves that a cluster works
description:
  - The API server is ready and the named nodes are; a pod starts on each of them through the scheduler, also on tainted ones.
  - Each pod reaches up to O(peers) others by their address, a Service by its DNS name, and resolves that name.
  - Works in a namespace of its own that it deletes; nothing else is touched.
options:
  image: {description: Image of the probe., type: str, required: true}
  nodes: {description: Names of the nodes to prove., type: list, elements: str, required: true}
  peers: {description: How many others each pod must reach., type: int, default: 8}
  timeout_seconds: {description: How long all may take., type: int, default: 120}
  kubeconfig: {description: Path of an administrator's kubeconfig on the host., type: path, default: /etc/kubernetes/admin.conf}
author: Slipway
"""

EXAMPLES = """
- name: Prove the cluster
  slipway_verify: {image: "bundle.slipway.dev/verify:v1", nodes: [a, b]}
"""

RETURN = """
slipway_outputs: {description: The report, as verify., type: dict, returned: always}
"""

PORT = 8080


class Cluster:
    """A cluster seen through kubectl, with a deadline for all that is done."""

    def __init__(self, params: dict):
        self.params = params
        self.namespace = f"slipway-verify-{int(time.time()):x}"
        self.deadline = time.monotonic() + params["timeout_seconds"]

    def left(self) -> int:
        """Seconds until the deadline."""
        return max(1, int(self.deadline - time.monotonic()))

    def kubectl(self, *words: str, data: bytes | None = None) -> str:
        """Output of kubectl."""
        return run("kubectl", "--kubeconfig", self.params["kubeconfig"], "--namespace", self.namespace, *words, data=data, timeout=self.left())

    def until(self, what, check):
        """Repeats a check that gives a result or raises Trouble until the deadline."""
        while True:
            try:
                return check()
            except Trouble as e:
                if self.left() == 1:
                    raise Trouble(f"{what}: {e}") from e
            time.sleep(0.4)

    def nodes_ready(self) -> None:
        """Raises unless all nodes are Ready."""
        found = json.loads(self.kubectl("get", "nodes", "--output=json"))["items"]
        ready = {n["metadata"]["name"] for n in found for c in n["status"]["conditions"] if c["type"] == "Ready" and c["status"] == "True"}
        if missing := sorted(set(self.params["nodes"]) - ready):
            raise Trouble(f"not Ready: {', '.join(missing)}")

    def start(self) -> None:
        """Starts one pod on each node and the service before them."""
        items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}, self.service()]
        items += [self.pod(number, node) for number, node in enumerate(self.params["nodes"])]
        # Applied, not created: a first try may come before the namespace has its service account.
        self.kubectl("apply", "--server-side", "--filename=-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode())

    def service(self) -> dict:
        """The service before all pods."""
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "verify", "namespace": self.namespace},
                "spec": {"selector": {"app": "verify"}, "ports": [{"port": PORT}]}}

    def pod(self, number: int, node: str) -> dict:
        """The pod of one node."""
        wanted = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        container = {"name": "probe", "image": self.params["image"], "imagePullPolicy": "IfNotPresent", "args": ["serve", "-listen", f":{PORT}"],
                     "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
                     "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": f"probe-{number}", "namespace": self.namespace, "labels": {"app": "verify"}},
                "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}], "automountServiceAccountToken": False,
                         "terminationGracePeriodSeconds": 0, "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                         "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [wanted]}}}}}

    def addresses(self) -> list[str]:
        """Addresses of the pods in the order of the nodes; raises unless all are ready."""
        pods = {p["metadata"]["name"]: p for p in json.loads(self.kubectl("get", "pods", "--output=json"))["items"]}
        found = []
        for number, node in enumerate(self.params["nodes"]):
            status = pods.get(f"probe-{number}", {}).get("status", {})
            if not any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])):
                raise Trouble(f"the pod on {node} is not ready: {reason(status)}")
            found.append(status["podIP"])
        return found

    def check(self, number: int, addresses: list[str]) -> list[dict]:
        """Results of what one pod tried."""
        count = min(self.params["peers"], len(addresses) - 1)
        peers = [addresses[(number + i) % len(addresses)] for i in range(1, count + 1)] or [addresses[number]]
        name = f"verify.{self.namespace}.svc"
        words = ["-resolve", name, "-get", f"http://{name}:{PORT}/hostname"]
        for peer in peers:
            words += ["-get", f"http://{peer}:{PORT}/hostname"]
        deadline = max(5, self.left() - 5)
        command = ["kubectl", "--kubeconfig", self.params["kubeconfig"], "--namespace", self.namespace, "exec", f"probe-{number}", "--",
                   "/probe", "check", "-deadline", f"{deadline}s", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=deadline + 10, check=False, env={**os.environ, **ENVIRONMENT})
        results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode != 0 and all(r["ok"] for r in results):
            raise Trouble(f"running the check on {self.params['nodes'][number]}: {done.stderr.strip().splitlines()[-1:]}")
        return [r | {"node": self.params["nodes"][number]} for r in results]

    def end(self) -> None:
        """Deletes all that was made; nobody waits for it."""
        self.deadline = max(self.deadline, time.monotonic() + 20)
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")


def reason(status: dict) -> str:
    """Why a pod is not ready, in its own words."""
    for container in status.get("containerStatuses", []):
        waiting = container["state"].get("waiting") or container["state"].get("terminated")
        if waiting:
            return " ".join(filter(None, [waiting.get("reason"), waiting.get("message")]))
    return next((c.get("message", c["type"]) for c in status.get("conditions", []) if c["status"] != "True"), "nothing is known of it")


def prove(cluster: Cluster) -> dict:
    """Goes through all checks; gives the report."""
    started = time.monotonic()
    cluster.until("asking the API server whether it is ready", lambda: cluster.kubectl("get", "--raw=/readyz"))
    cluster.until("waiting for nodes", cluster.nodes_ready)
    try:
        cluster.until("starting pods", cluster.start)
        addresses = cluster.until("waiting for pods", cluster.addresses)
        with ThreadPoolExecutor(8) as pool:
            results = sum(pool.map(lambda number: cluster.check(number, addresses), range(len(addresses))), [])
    finally:
        cluster.end()
    failures = [f"{r['node']}: {r['check']} {r['target']}: {r.get('error', '')}" for r in results if not r["ok"]]
    return {"nodes": cluster.params["nodes"], "checks": len(results), "failures": failures, "seconds": round(time.monotonic() - started, 1)}


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec={
        "image": {"type": "str", "required": True},
        "nodes": {"type": "list", "elements": "str", "required": True},
        "peers": {"type": "int", "default": 8},
        "timeout_seconds": {"type": "int", "default": 120},
        "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
    })
    try:
        report = prove(Cluster(module.params))
    except (Trouble, OSError, subprocess.SubprocessError) as e:
        module.fail_json(msg=str(e))
    if report["failures"] or not report["checks"]:
        module.fail_json(msg="; ".join(report["failures"][:5]) or "nothing was checked", slipway_outputs={"verify": report})
    module.exit_json(changed=False, slipway_outputs={"verify": report})


if __name__ == "__main__":
    main()
