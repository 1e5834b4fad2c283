//go:build lab

package ansible

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"text/template"

	"github.com/slipway-dev/slipway/certs"
)

const initTemplate = `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- {token: {{ .Token }}, ttl: 2h0m0s, usages: [signing, authentication], groups: [system:bootstrappers:kubeadm:default-node-token]}
localAPIEndpoint: {advertiseAddress: {{ .Address }}, bindPort: 6443}
nodeRegistration:
  name: {{ .Name }}
  criSocket: unix:///run/containerd/containerd.sock
  imagePullPolicy: IfNotPresent
  ignorePreflightErrors: [SystemVerification, NumCPU, Mem]
skipPhases: [addon/kube-proxy, addon/coredns, show-join-command]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: shop
kubernetesVersion: {{ .Version }}
controlPlaneEndpoint: {{ .Endpoint }}:6443
imageRepository: bundle.slipway.dev
apiServer:
  extraArgs: [{name: kubelet-certificate-authority, value: /etc/kubernetes/pki/ca.crt}]
networking: {podSubnet: {{ .PodCIDR }}, serviceSubnet: {{ .ServiceCIDR }}, dnsDomain: cluster.local}
etcd:
  external:
    endpoints: ["https://{{ .Etcd }}:2379"]
    caFile: /etc/kubernetes/pki/etcd/ca.crt
    certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
    keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
tlsCertFile: /var/lib/kubelet/pki/slipway-serving.crt
tlsPrivateKeyFile: /var/lib/kubelet/pki/slipway-serving.key
`

const joinTemplate = `apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    token: {{ .Token }}
    apiServerEndpoint: {{ .Endpoint }}:6443
    caCertHashes: ["{{ .Pin }}"]
nodeRegistration:
  name: {{ .Name }}
  criSocket: unix:///run/containerd/containerd.sock
  imagePullPolicy: IfNotPresent
  ignorePreflightErrors: [SystemVerification]
`

func (s *site) render(text, name string) string {
	s.t.Helper()
	values := map[string]string{
		"Token": token, "Name": s.hostname(name), "Address": s.address(name), "Version": s.bundle.Manifest().Kubernetes, "Endpoint": endpointName,
		"PodCIDR": podCIDR, "ServiceCIDR": serviceCIDR, "Etcd": s.address(s.etcd[0]), "Pin": s.pin(),
	}
	var out bytes.Buffer
	if err := template.Must(template.New("").Parse(text)).Execute(&out, values); err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

func (s *site) initConfiguration() string {
	if s.breakInit != "" {
		return s.breakInit
	}
	return s.render(initTemplate, s.planes[0])
}

func (s *site) joinConfigurations() map[string]string {
	configurations := map[string]string{}
	for _, name := range s.workers {
		configurations[s.hostname(name)] = s.render(joinTemplate, name)
	}
	return configurations
}

// coreDNS is the manifest of a name server for pods, as an addon would bring it.
func (s *site) coreDNS() string {
	s.t.Helper()
	image, _ := s.bundle.Manifest().Image("coredns")
	text := must(os.ReadFile("testdata/coredns.yaml"))(s.t)
	return strings.ReplaceAll(string(text), "IMAGE", image.Reference)
}

// pin is what a joining node trusts the control plane by.
func (s *site) pin() string { return must(certs.PublicKeyHash(s.pki.CA.Certificate))(s.t) }

// nodePKI holds the certificates that kubelets show to the API server.
func (s *site) nodePKI() map[string]any {
	s.t.Helper()
	pairs := map[string]any{}
	for _, name := range slices.Concat(s.planes, s.workers) {
		host := s.hostname(name)
		leaf := certs.Leaf{CommonName: "system:node:" + host, Organizations: []string{"system:nodes"}, Names: []string{host, s.address(name)}, Usage: certs.Server}
		pair := must(certs.New(certs.Options{}).NewLeaf(s.pki.CA, leaf))(s.t)
		pairs[host] = map[string]string{"crt": string(pair.Certificate), "key": string(pair.Key)}
	}
	return pairs
}
