package plane

import (
	"fmt"
	"path/filepath"
	"strings"
)

// The programs of a plane, in the order in which they start; they stop in the other one.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
)

// controllers are what an API without pods of its own needs: the end of what is owned, of namespaces and of finished
// Jobs, service accounts and their tokens, and the roles that are made of others. The executor's Jobs are counted too.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"garbage-collector-controller",
	"job-controller",
	"namespace-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"ttl-after-finished-controller",
}

type flags struct {
	dir   string
	state State
	pki   *pki
	// volatile lets etcd not wait for the disk.
	volatile bool
}

func (f flags) etcd() []string {
	client := fmt.Sprintf("https://%s:%d", loopback, f.state.Ports.EtcdClient)
	peer := fmt.Sprintf("https://%s:%d", loopback, f.state.Ports.EtcdPeer)
	args := []string{
		"--name=" + etcdName,
		"--data-dir=" + filepath.Join(f.dir, etcdDir),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + etcdName + "=" + peer,
		"--client-cert-auth=true",
		"--trusted-ca-file=" + f.pki.cert(etcdAuthority),
		"--cert-file=" + f.pki.cert("etcd"),
		"--key-file=" + f.pki.key("etcd"),
		"--peer-client-cert-auth=true",
		"--peer-trusted-ca-file=" + f.pki.cert(etcdAuthority),
		"--peer-cert-file=" + f.pki.cert("etcd"),
		"--peer-key-file=" + f.pki.key("etcd"),
		"--feature-gates=InitialCorruptCheck=true",
		"--watch-progress-notify-interval=5s",
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}
	if f.volatile {
		args = append(args, "--unsafe-no-fsync")
	}
	return args
}

func (f flags) apiServer() []string {
	return []string{
		"--bind-address=" + f.state.ListenHost,
		fmt.Sprintf("--secure-port=%d", f.state.Ports.APIServer),
		"--advertise-address=" + loopback,
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--cert-dir=" + f.pki.dir,
		"--tls-cert-file=" + f.pki.cert("apiserver"),
		"--tls-private-key-file=" + f.pki.key("apiserver"),
		"--client-ca-file=" + f.pki.cert(apiAuthority),
		"--anonymous-auth=false",
		"--authorization-mode=RBAC",
		"--profiling=false",
		fmt.Sprintf("--etcd-servers=https://%s:%d", loopback, f.state.Ports.EtcdClient),
		"--etcd-cafile=" + f.pki.cert(etcdAuthority),
		"--etcd-certfile=" + f.pki.cert("apiserver-etcd-client"),
		"--etcd-keyfile=" + f.pki.key("apiserver-etcd-client"),
		"--encryption-provider-config=" + filepath.Join(f.dir, encryptionFile),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + f.pki.cert("sa"),
		"--service-account-signing-key-file=" + f.pki.key("sa"),
		"--event-ttl=24h",
	}
}

func (f flags) controllerManager() []string {
	config := filepath.Join(f.dir, managerConfig)
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--bind-address=" + loopback,
		fmt.Sprintf("--secure-port=%d", f.state.Ports.ControllerManager),
		"--tls-cert-file=" + f.pki.cert("controller-manager"),
		"--tls-private-key-file=" + f.pki.key("controller-manager"),
		"--client-ca-file=" + f.pki.cert(apiAuthority),
		"--profiling=false",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + f.pki.key("sa"),
		"--root-ca-file=" + f.pki.cert(apiAuthority),
		"--controllers=" + strings.Join(controllers, ","),
		// The default of 20 requests a second would make the end of a big fleet the slowest thing of all.
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}
}
