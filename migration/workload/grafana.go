package workload

import (
	"fmt"
	"net/url"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// The roles of a Grafana beside the target.
const (
	RoleGrafana Role = "grafana"
	RoleAlike   Role = "alike"
)

// GrafanaFolder is where the pod that brings the data of the old Grafana mounts the claim of the new one.
const GrafanaFolder = "/grafana"

// Grafana brings the data of the old Grafana to the claim of the new one, which does not run meanwhile.
func (w *Workload) Grafana() (*batchv1.Job, error) {
	g, h := w.o.Grafana, w.o.Source.Host
	if h.Address == "" || h.KeySecret == "" || h.HostKey == "" || h.User == "" {
		return nil, fmt.Errorf("planning the pods of migration %s: the data of the old Grafana comes over SSH, and spec.source.host lacks address, user, sshKeySecretName or knownHostKey", w.o.Name)
	}
	from := url.URL{Scheme: "ssh", User: url.User(h.User), Host: h.address(), Path: g.DataDir}
	args := []string{"prometheus", "grafana", "bring", GrafanaFolder, flag("from", from.String()), flag("provisioning", g.ProvisioningDir),
		flag("ssh-key", sshFolder+"/"+corev1.SSHAuthPrivateKey), flag("host-key", h.HostKey), flag("source", w.o.Source.URL), flag("users", g.UsersURL), flag("output", "json")}
	return w.job(RoleGrafana, pod{args: slices.Concat(args, each("override", g.Bring)), volume: true, secrets: []mount{{h.KeySecret, sshFolder}}})
}

// Alike compares both Grafanas by their API.
func (w *Workload) Alike() (*batchv1.Job, error) {
	g := w.o.Grafana
	args := []string{"prometheus", "grafana", "compare", flag("old", g.OldURL), flag("new", g.NewURL), flag("credentials", apiFolder),
		flag("source", w.o.Source.URL), flag("users", g.UsersURL), flag("output", "json")}
	return w.job(RoleAlike, pod{args: slices.Concat(args, each("override", g.Alike)), secrets: []mount{{g.APISecret, apiFolder}}})
}
