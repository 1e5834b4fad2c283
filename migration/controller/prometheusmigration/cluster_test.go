package prometheusmigration

import (
	"strings"
	"testing"
)

// TestReadKubeconfig: whoever may write a Secret must not get at files of the operator's host, or have a program run there.
func TestReadKubeconfig(t *testing.T) {
	const good = `apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://198.18.0.9:6443"}}]
users: [{name: u, user: {token: hunter2}}]
`
	for _, c := range []struct {
		name, key, text, says string
	}{
		{"one that stands by itself is taken", "value", good, ""},
		{"under its other key, too", "kubeconfig", good, ""},
		{"no key", "config", good, "neither the key value nor kubeconfig"},
		{"no kubeconfig", "value", "hunter2: [", "it is no kubeconfig"},
		{"a program", "value", strings.Replace(good, "token: hunter2", "exec: {command: sh, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}", 1), "user u names a file or a program"},
		{"a file with a token", "value", strings.Replace(good, "token: hunter2", "tokenFile: /etc/shadow", 1), "user u names a file or a program"},
		{"a file with a key", "value", strings.Replace(good, "token: hunter2", "client-key: /etc/key", 1), "user u names a file or a program"},
		{"a server that nobody verifies", "value", strings.Replace(good, "server:", "insecure-skip-tls-verify: true, server:", 1), "does not verify the server"},
		{"a file with an authority", "value", strings.Replace(good, "server:", "certificate-authority: /etc/ca, server:", 1), "names a file of the host"},
		{"no context", "value", strings.Replace(good, "current-context: x", "current-context: other", 1), "current context"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := readKubeconfig(map[string][]byte{c.key: []byte(c.text)})
			if c.says == "" {
				if err != nil || config.Host != "https://198.18.0.9:6443" || config.BearerToken != "hunter2" {
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
