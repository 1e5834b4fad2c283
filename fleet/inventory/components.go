package inventory

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// Paths on a node that more than one component names.
const (
	pkiDirectory  = "/etc/kubernetes/pki"
	kubeletServer = "/var/lib/kubelet/pki/slipway-serving"
	criSocket     = "unix:///run/containerd/containerd.sock"
	clusterDomain = "cluster.local"
)

// ClusterDNS is the address of the cluster's DNS service: the tenth of the range of services.
func ClusterDNS(spec v1alpha1.ClusterDeploymentSpec) (string, error) {
	if len(spec.Network.ServiceCIDRs) == 0 {
		return "", fmt.Errorf("finding the address of the DNS service: spec.network.serviceCIDRs is empty")
	}
	prefix, err := netip.ParsePrefix(spec.Network.ServiceCIDRs[0])
	if err != nil {
		return "", fmt.Errorf("finding the address of the DNS service: %w", err)
	}
	address := prefix.Masked().Addr()
	for range 10 {
		address = address.Next()
	}
	if !prefix.Contains(address) {
		return "", fmt.Errorf("finding the address of the DNS service: %s has no tenth address", prefix)
	}
	return address.String(), nil
}

// lab says that the hosts are practice machines, which share their kernel and its limits.
func (in *Input) lab() bool { return in.Spec.OS != nil && in.Spec.OS.Profile == v1alpha1.OSLab }

func (in *Input) profile() v1alpha1.OSProfile {
	if in.lab() {
		return v1alpha1.OSLab
	}
	return v1alpha1.OSServer
}

func (in *Input) configs() v1alpha1.ComponentConfigs {
	if in.Spec.Kubernetes.ComponentConfigs == nil {
		return v1alpha1.ComponentConfigs{}
	}
	return *in.Spec.Kubernetes.ComponentConfigs
}

// endpoint is name:port of the API server.
func (in *Input) endpoint() string {
	return net.JoinHostPort(in.Spec.APIEndpoint.Name, strconv.Itoa(int(in.port())))
}

func (in *Input) port() int32 {
	if in.Spec.APIEndpoint.Port == 0 {
		return 6443
	}
	return in.Spec.APIEndpoint.Port
}

// bindPort is where the API server listens itself: behind a site's own balancer always 6443.
func (in *Input) bindPort() int32 {
	if in.Spec.APIEndpoint.Type == v1alpha1.EndpointExternal {
		return 6443
	}
	return in.port()
}

// kubelet is the complete KubeletConfiguration, the same for all nodes.
func (in *Input) kubelet() (object, error) {
	user, err := part("spec.kubernetes.componentConfigs.kubelet", in.configs().Kubelet)
	if err != nil {
		return nil, err
	}
	dns, err := ClusterDNS(in.Spec)
	if err != nil {
		return nil, err
	}
	defaults := object{
		"rotateCertificates":  true,
		"serializeImagePulls": false,
	}
	owned := object{
		"apiVersion":        "kubelet.config.k8s.io/v1beta1",
		"kind":              "KubeletConfiguration",
		"cgroupDriver":      "systemd",
		"clusterDNS":        []any{dns},
		"clusterDomain":     clusterDomain,
		"tlsCertFile":       kubeletServer + ".crt",
		"tlsPrivateKeyFile": kubeletServer + ".key",
	}
	if in.lab() {
		defaults["failCgroupV1"], defaults["failSwapOn"] = false, false
		owned["cgroupDriver"] = "cgroupfs"
	}
	return layers(defaults, user, owned), nil
}

// kubeProxy is the complete KubeProxyConfiguration; the host adds its own name.
func (in *Input) kubeProxy() (object, error) {
	user, err := part("spec.kubernetes.componentConfigs.kubeProxy", in.configs().KubeProxy)
	if err != nil {
		return nil, err
	}
	defaults := object{"mode": "nftables"}
	if in.lab() {
		// The tables of connections belong to the kernel that all practice machines share.
		defaults["conntrack"] = object{"maxPerCore": 0, "min": 0}
	}
	return layers(defaults, user, object{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"clusterCIDR":      in.podCIDR(),
		"clientConnection": object{"kubeconfig": "/etc/kubernetes/kubelet.conf"},
	}), nil
}

func (in *Input) podCIDR() string {
	if len(in.Spec.Network.PodCIDRs) == 0 {
		return ""
	}
	return in.Spec.Network.PodCIDRs[0]
}

// clusterConfiguration is kubeadm's ClusterConfiguration.
func (in *Input) clusterConfiguration(members []member) (object, error) {
	user, err := part("spec.kubernetes.componentConfigs.clusterConfiguration", in.configs().ClusterConfiguration)
	if err != nil {
		return nil, err
	}
	endpoints := make([]any, 0, len(members))
	for _, m := range members {
		endpoints = append(endpoints, "https://"+net.JoinHostPort(m.Address, "2379"))
	}
	defaults := object{"encryptionAlgorithm": "ECDSA-P256"}
	return layers(defaults, user, object{
		"apiVersion":           "kubeadm.k8s.io/v1beta4",
		"kind":                 "ClusterConfiguration",
		"clusterName":          in.ClusterName,
		"kubernetesVersion":    in.Spec.Kubernetes.Version,
		"controlPlaneEndpoint": in.endpoint(),
		"imageRepository":      in.Bundle.ImageRepository,
		"certificatesDir":      pkiDirectory,
		"networking": object{
			"podSubnet": in.podCIDR(), "serviceSubnet": in.Spec.Network.ServiceCIDRs[0], "dnsDomain": clusterDomain,
		},
		"etcd": object{"external": object{
			"endpoints": endpoints,
			"caFile":    pkiDirectory + "/etcd/ca.crt",
			"certFile":  pkiDirectory + "/apiserver-etcd-client.crt",
			"keyFile":   pkiDirectory + "/apiserver-etcd-client.key",
		}},
		"apiServer": object{
			"certSANs":  []any{in.Spec.APIEndpoint.Name},
			"extraArgs": []any{object{"name": "kubelet-certificate-authority", "value": pkiDirectory + "/ca.crt"}},
		},
		"dns":   object{"disabled": true},
		"proxy": object{"disabled": true},
	}), nil
}

// timeouts make kubeadm give up before the run does.
func timeouts() object {
	return object{
		"controlPlaneComponentHealthCheck": "4m0s", "kubeletHealthCheck": "2m0s", "kubernetesAPICall": "1m0s",
		"etcdAPICall": "1m0s", "tlsBootstrap": "3m0s", "discovery": "3m0s",
	}
}

// initConfiguration is what kubeadm init reads on one control plane: three documents.
func (in *Input) initConfiguration(h Host, members []member, token string) (string, error) {
	address, err := h.address()
	if err != nil {
		return "", err
	}
	kubelet, err := in.kubelet()
	if err != nil {
		return "", err
	}
	cluster, err := in.clusterConfiguration(members)
	if err != nil {
		return "", err
	}
	initial := object{
		"apiVersion": "kubeadm.k8s.io/v1beta4",
		"kind":       "InitConfiguration",
		"bootstrapTokens": []any{object{
			"token": token, "ttl": "2h0m0s", "description": "workers of operation " + in.OperationUID,
			"usages": []any{"signing", "authentication"},
			"groups": []any{"system:bootstrappers:kubeadm:default-node-token"},
		}},
		"localAPIEndpoint": object{"advertiseAddress": address, "bindPort": in.bindPort()},
		"nodeRegistration": in.nodeRegistration(h, address),
		"skipPhases":       in.skipPhases("addon/coredns", "addon/kube-proxy", "show-join-command"),
		"timeouts":         timeouts(),
	}
	return documents(initial, cluster, kubelet)
}

// joinConfiguration is what kubeadm join reads on one worker.
func (in *Input) joinConfiguration(h Host, token, pin string) (string, error) {
	address, err := h.address()
	if err != nil {
		return "", err
	}
	join := object{
		"apiVersion": "kubeadm.k8s.io/v1beta4",
		"kind":       "JoinConfiguration",
		"discovery": object{"bootstrapToken": object{
			"token": token, "apiServerEndpoint": in.endpoint(), "caCertHashes": []any{pin},
		}},
		"nodeRegistration": in.nodeRegistration(h, address),
		"timeouts":         timeouts(),
	}
	if skip := in.skipPhases(); len(skip) > 0 {
		join["skipPhases"] = skip
	}
	return documents(join)
}

// skipPhases adds preflight on practice machines: it takes the kernel's share for a fault.
func (in *Input) skipPhases(phases ...any) []any {
	if in.lab() {
		return append([]any{"preflight"}, phases...)
	}
	return phases
}

func (in *Input) nodeRegistration(h Host, address string) object {
	out := object{
		"name":             h.Name,
		"criSocket":        criSocket,
		"imagePullPolicy":  "IfNotPresent",
		"kubeletExtraArgs": []any{object{"name": "node-ip", "value": address}},
	}
	if len(h.Taints) > 0 {
		out["taints"] = h.Taints
	}
	return out
}

// documents writes objects as one YAML stream.
func documents(objects ...object) (string, error) {
	var b bytes.Buffer
	for i, o := range objects {
		data, err := yaml.Marshal(o)
		if err != nil {
			return "", fmt.Errorf("encoding %v: %w", o["kind"], err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(data)
	}
	return b.String(), nil
}

// Components are the complete configurations of a cluster: what the defaults and the deployment's parts become.
type Components struct {
	Kubelet              map[string]any `json:"kubelet"`
	KubeProxy            map[string]any `json:"kubeProxy"`
	ClusterConfiguration map[string]any `json:"clusterConfiguration"`
}

// Complete gives the complete configurations of a deployment before it has machines: the endpoints of etcd are empty.
func Complete(clusterName string, spec v1alpha1.ClusterDeploymentSpec, b Bundle) (Components, error) {
	in := Input{ClusterName: clusterName, Spec: spec, Bundle: b}
	var out Components
	var err error
	if out.Kubelet, err = in.kubelet(); err != nil {
		return Components{}, fmt.Errorf("completing the settings of %s: %w", clusterName, err)
	}
	if out.KubeProxy, err = in.kubeProxy(); err != nil {
		return Components{}, fmt.Errorf("completing the settings of %s: %w", clusterName, err)
	}
	if out.ClusterConfiguration, err = in.clusterConfiguration(nil); err != nil {
		return Components{}, fmt.Errorf("completing the settings of %s: %w", clusterName, err)
	}
	return out, nil
}
