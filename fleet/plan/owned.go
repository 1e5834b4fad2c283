package plan

import (
	"slices"
	"strings"
)

// Owned is a setting of an upstream kind that Slipway sets itself, and why a deployment must not.
type Owned struct {
	// Path is below the part of the kind, with dots.
	Path string
	// Instead says what to do instead.
	Instead string
}

// ownedSettings are the settings that follow from other fields, or that the roles and the bundle depend on.
func ownedSettings() map[string][]Owned {
	const (
		kind      = "leave it out: the kind and its version are known"
		paths     = "leave it out: the roles and the clean-up depend on the path"
		container = "leave it out: it follows from the container runtime"
	)
	return map[string][]Owned{
		kindKubelet: {
			{"apiVersion", kind}, {"kind", kind},
			{"cgroupDriver", "set spec.os.profile: it must be that of the container runtime"},
			{"clusterDNS", "it is the tenth address of spec.network.serviceCIDRs"},
			{"clusterDomain", "leave it out: it is cluster.local"},
			{"containerRuntimeEndpoint", container},
			{"imageServiceEndpoint", container},
			{"staticPodPath", paths},
			{"tlsCertFile", "leave it out: each node has a serving certificate of the cluster's authority"},
			{"tlsPrivateKeyFile", "leave it out: each node has a serving certificate of the cluster's authority"},
			{"serverTLSBootstrap", "leave it out: each node has a serving certificate of the cluster's authority"},
		},
		kindKubeProxy: {
			{"apiVersion", kind}, {"kind", kind},
			{"clientConnection.kubeconfig", paths},
			{"clusterCIDR", "set spec.network.podCIDRs"},
			{"hostnameOverride", "leave it out: it is the name of the Machine"},
		},
		kindCluster: {
			{"apiVersion", kind}, {"kind", kind},
			{"certificatesDir", paths},
			{"clusterName", "leave it out: it is the name of the deployment"},
			{"controlPlaneEndpoint", "set spec.apiEndpoint"},
			{"dns", "set spec.addons"},
			{"etcd", "set spec.etcd"},
			{"imageRepository", "leave it out: nodes have the images of the bundle; see spec.containerRuntime.registries for others"},
			{"kubernetesVersion", "set spec.kubernetes.version"},
			{"networking", "set spec.network"},
			{"proxy", "set spec.kubernetes.componentConfigs.kubeProxy"},
		},
	}
}

// ownedFlags are the flags of the control plane that Slipway or kubeadm sets.
func ownedFlags() map[string][]string {
	return map[string][]string{
		"kube-apiserver": {
			"advertise-address", "client-ca-file", "etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-prefix", "etcd-servers",
			"kubelet-certificate-authority", "kubelet-client-certificate", "kubelet-client-key", "proxy-client-cert-file",
			"proxy-client-key-file", "requestheader-client-ca-file", "secure-port", "service-account-key-file",
			"service-account-signing-key-file", "service-cluster-ip-range", "tls-cert-file", "tls-private-key-file",
		},
		"kube-controller-manager": {
			"allocate-node-cidrs", "authentication-kubeconfig", "authorization-kubeconfig", "client-ca-file", "cluster-cidr",
			"cluster-name", "cluster-signing-cert-file", "cluster-signing-key-file", "kubeconfig", "requestheader-client-ca-file",
			"root-ca-file", "service-account-private-key-file", "service-cluster-ip-range",
		},
		"kube-scheduler": {"authentication-kubeconfig", "authorization-kubeconfig", "config", "kubeconfig"},
	}
}

// The kinds of which a deployment may hold parts.
const (
	kindKubelet   = "KubeletConfiguration"
	kindKubeProxy = "KubeProxyConfiguration"
	kindCluster   = "ClusterConfiguration"
)

// ownedSetting finds the owned setting that a path names or lies below.
func ownedSetting(kind, path string) (Owned, bool) {
	all := ownedSettings()[kind]
	i := slices.IndexFunc(all, func(o Owned) bool { return path == o.Path || strings.HasPrefix(path, o.Path+".") })
	if i < 0 {
		return Owned{}, false
	}
	return all[i], true
}
