package inventory

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/certs"
)

// member is one member of etcd.
type member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Build makes inventory, variables, secret variables and known_hosts for one run.
func Build(in Input) (Output, error) {
	if len(in.Hosts) == 0 {
		return Output{}, errors.New("building inventory: the run has no hosts")
	}
	in.Hosts = byName(in.Hosts)
	in.ControlPlane, in.Etcd = byName(in.ControlPlane), byName(in.Etcd)
	var out Output
	steps := []struct {
		what string
		make func() ([]byte, error)
		to   *[]byte
	}{
		{"inventory", in.inventory, &out.Inventory},
		{"known_hosts", in.knownHosts, &out.KnownHosts},
		{"variables", in.vars, &out.Vars},
		{"secret variables", in.secretVars, &out.SecretVars},
	}
	for _, s := range steps {
		data, err := s.make()
		if err != nil {
			return Output{}, fmt.Errorf("building %s of %s: %w", s.what, in.Run, err)
		}
		*s.to = data
	}
	for _, h := range in.Hosts {
		out.Hosts = append(out.Hosts, h.Name)
		if !slices.Contains(out.KeySecrets, h.Spec.SSHKeySecretName) {
			out.KeySecrets = append(out.KeySecrets, h.Spec.SSHKeySecretName)
		}
	}
	slices.Sort(out.KeySecrets)
	return out, nil
}

func byName(hosts []Host) []Host {
	return slices.SortedFunc(slices.Values(hosts), func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
}

// inventory lists the hosts of the run and how to reach them.
func (in *Input) inventory() ([]byte, error) {
	hosts := object{}
	groups := map[string]object{"etcd": {}, "control_plane": {}, "compute": {}}
	for _, h := range in.Hosts {
		hosts[h.Name] = hostVars(h)
		for _, group := range in.groupsOf(h) {
			groups[group][h.Name] = object{}
		}
	}
	children := object{}
	for name, members := range groups {
		children[name] = object{"hosts": members}
	}
	return yaml.Marshal(object{"all": object{
		"vars": object{"ansible_connection": "slipway_ssh"}, "hosts": hosts, "children": children,
	}})
}

func (in *Input) groupsOf(h Host) []string {
	switch {
	case h.Role == v1alpha1.RoleEtcd:
		return []string{"etcd"}
	case h.Role == v1alpha1.RoleControlPlane && in.Spec.Etcd.Topology == v1alpha1.EtcdColocated:
		return []string{"control_plane", "etcd"}
	case h.Role == v1alpha1.RoleControlPlane:
		return []string{"control_plane"}
	}
	return []string{"compute"}
}

func hostVars(h Host) object {
	out := object{
		"ansible_host":                 h.Spec.Address,
		"ansible_port":                 portOf(h.Spec.Port),
		"ansible_user":                 userOf(h.Spec.User),
		"ansible_ssh_private_key_file": "{{ slipway_key_dir }}/" + h.Spec.SSHKeySecretName,
		"slipway_generation":           h.Generation,
		"slipway_machine":              h.Name,
	}
	if b := h.Spec.Bastion; b != nil {
		out["slipway_bastion"] = object{"address": b.Address, "port": portOf(b.Port), "user": userOf(b.User)}
	}
	return out
}

func portOf(port int32) int32 {
	if port == 0 {
		return 22
	}
	return port
}

func userOf(user string) string {
	if user == "" {
		return "root"
	}
	return user
}

// knownHosts holds the pinned keys of all hosts and bastions.
func (in *Input) knownHosts() ([]byte, error) {
	var lines []string
	add := func(what, address string, port int32, key string) error {
		fields := strings.Fields(key)
		if len(fields) < 2 {
			return fmt.Errorf("%s: no host key is pinned", what)
		}
		name := address
		if portOf(port) != 22 {
			name = "[" + address + "]:" + strconv.Itoa(int(port))
		}
		lines = append(lines, strings.Join([]string{name, fields[0], fields[1]}, " ")+"\n")
		return nil
	}
	for _, h := range in.Hosts {
		if err := add("machine "+h.Name, h.Spec.Address, h.Spec.Port, h.Spec.HostKey); err != nil {
			return nil, err
		}
		if b := h.Spec.Bastion; b != nil {
			if err := add("bastion of machine "+h.Name, b.Address, b.Port, b.HostKey); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(slices.Compact(lines), "")), nil
}

// members are the members of etcd: its own machines, or the control planes.
func (in *Input) members() ([]member, error) {
	hosts := in.Etcd
	if in.Spec.Etcd.Topology == v1alpha1.EtcdColocated {
		hosts = in.ControlPlane
	}
	out := make([]member, 0, len(hosts))
	for _, h := range hosts {
		address, err := h.address()
		if err != nil {
			return nil, err
		}
		out = append(out, member{Name: h.Name, Address: address})
	}
	return out, nil
}

// vars are the variables that anybody may see.
func (in *Input) vars() ([]byte, error) {
	out := object{
		"slipway_cluster_uid":        in.Cluster.UID,
		"slipway_cluster_name":       in.ClusterName,
		"slipway_operation":          in.Run,
		"slipway_content_version":    in.Cluster.ContentVersion,
		"slipway_mirrors":            nonNil(in.Mirrors),
		"slipway_mirror_ca":          string(in.MirrorCA),
		"slipway_bundle":             object{"digest": in.Cluster.BundleDigest, "contents": in.Bundle.Contents},
		"slipway_profile":            in.profile(),
		"slipway_kubernetes_version": in.Spec.Kubernetes.Version,
	}
	if in.EntryPoint != v1alpha1.EntryRemove {
		if err := in.addSettings(out); err != nil {
			return nil, err
		}
	}
	return encode(out)
}

func (in *Input) addSettings(out object) error {
	members, err := in.members()
	if err != nil {
		return err
	}
	hosts, err := in.endpointHosts()
	if err != nil {
		return err
	}
	proxy, err := in.kubeProxy()
	if err != nil {
		return err
	}
	out["os_base_hosts"] = hosts
	out["os_base_sysctls"] = map[string]string{}
	if in.Spec.OS != nil && in.Spec.OS.Sysctls != nil {
		out["os_base_sysctls"] = in.Spec.OS.Sysctls
	}
	out["containerd_registries"] = []v1alpha1.Registry{}
	if r := in.Spec.ContainerRuntime; r != nil && r.Registries != nil {
		out["containerd_registries"] = r.Registries
	}
	out["etcd_members"], out["etcd_cluster_token"] = members, in.Cluster.UID
	out["kubernetes_endpoint"] = object{"name": in.Spec.APIEndpoint.Name, "port": in.port()}
	out["kubernetes_pod_cidr"] = in.podCIDR()
	if len(in.Spec.Network.ServiceCIDRs) > 0 {
		out["kubernetes_service_cidr"] = in.Spec.Network.ServiceCIDRs[0]
	}
	out["kube_proxy_configuration"] = proxy
	out["network_plugin"], out["network_flannel_pod_cidr"] = in.Spec.Network.Plugin, in.podCIDR()
	switch in.EntryPoint {
	case v1alpha1.EntryVerify:
		out["verify_image"], out["verify_nodes"] = in.Bundle.VerifyImage, slices.Sorted(slices.Values(in.Nodes))
	case v1alpha1.EntryAddons:
		addons := in.Addons
		if addons == nil {
			addons = []Addon{}
		}
		out["addons_manifests"] = addons
	}
	return nil
}

// endpointHosts are the lines of /etc/hosts that lead the endpoint's name to the control plane.
func (in *Input) endpointHosts() ([]object, error) {
	out := []object{}
	if in.Spec.APIEndpoint.Type != v1alpha1.EndpointDirect || net.ParseIP(in.Spec.APIEndpoint.Name) != nil {
		return out, nil
	}
	for _, h := range in.ControlPlane {
		address, err := h.address()
		if err != nil {
			return nil, err
		}
		out = append(out, object{"address": address, "names": []string{in.Spec.APIEndpoint.Name}})
	}
	return out, nil
}

// secretVars are the variables that nobody may see: what the roles of the run's hosts need, and no more.
func (in *Input) secretVars() ([]byte, error) {
	out := object{}
	entry := in.EntryPoint
	if entry == v1alpha1.EntryCreate || entry == v1alpha1.EntryEtcd {
		if err := in.addEtcdSecrets(out); err != nil {
			return nil, err
		}
	}
	if entry == v1alpha1.EntryCreate || entry == v1alpha1.EntryKubernetes || entry == v1alpha1.EntryScale {
		if err := in.addKubernetesSecrets(out); err != nil {
			return nil, err
		}
	}
	return encode(out)
}

func (in *Input) addEtcdSecrets(out object) error {
	members := object{}
	for _, h := range in.Hosts {
		if !slices.Contains(in.groupsOf(h), "etcd") {
			continue
		}
		m, ok := in.PKI.EtcdMembers[h.Name]
		if !ok {
			return fmt.Errorf("machine %s: the PKI has no certificates for it as an etcd member", h.Name)
		}
		members[h.Name] = object{
			"server_crt": string(m.Server.Certificate), "server_key": string(m.Server.Key),
			"peer_crt": string(m.Peer.Certificate), "peer_key": string(m.Peer.Key),
		}
	}
	out["etcd_pki"] = object{"ca_crt": string(in.PKI.EtcdCA.Certificate), "members": members}
	return nil
}

func (in *Input) addKubernetesSecrets(out object) error {
	members, err := in.members()
	if err != nil {
		return err
	}
	if len(members) == 0 {
		return errors.New("the cluster has no etcd members")
	}
	token, err := BootstrapToken(in.PKI.CA, in.OperationUID)
	if err != nil {
		return err
	}
	pin, err := certs.PublicKeyHash(in.PKI.CA.Certificate)
	if err != nil {
		return err
	}
	initial, join, serving := object{}, object{}, object{}
	for _, h := range in.Hosts {
		var configuration string
		switch h.Role {
		case v1alpha1.RoleControlPlane:
			configuration, err = in.initConfiguration(h, members, token)
			initial[h.Name] = configuration
		case v1alpha1.RoleCompute:
			configuration, err = in.joinConfiguration(h, token, pin)
			join[h.Name] = configuration
		default:
			continue
		}
		if err != nil {
			return err
		}
		if serving[h.Name], err = in.serving(h); err != nil {
			return err
		}
	}
	out["kubernetes_init_configuration"], out["kubernetes_join_configuration"] = initial, join
	out["kubernetes_node_pki"] = serving
	if len(initial) > 0 {
		out["kubernetes_pki"] = in.controlPlanePKI()
	}
	return nil
}

// serving is the certificate with which the kubelet of a host serves. It is derived, so that a run can be rebuilt; it
// lives as long as the authority, because nobody but a new operation of ours would renew it.
func (in *Input) serving(h Host) (object, error) {
	address, err := h.address()
	if err != nil {
		return nil, err
	}
	names := []string{h.Name, address}
	if h.Spec.Address != address {
		names = append(names, h.Spec.Address)
	}
	pair, err := certs.Derive(in.PKI.CA, certs.Leaf{
		CommonName: "system:node:" + h.Name, Organizations: []string{"system:nodes"}, Names: names,
		Usage: certs.Server, Validity: certs.DefaultAuthorityValidity,
	}, "kubelet-serving "+in.OperationUID, in.OperationCreated)
	if err != nil {
		return nil, err
	}
	return object{"crt": string(pair.Certificate), "key": string(pair.Key)}, nil
}

// controlPlanePKI are the files below /etc/kubernetes/pki.
func (in *Input) controlPlanePKI() map[string]string {
	p := in.PKI
	return map[string]string{
		"ca.crt": string(p.CA.Certificate), "ca.key": string(p.CA.Key),
		"front-proxy-ca.crt": string(p.FrontProxyCA.Certificate), "front-proxy-ca.key": string(p.FrontProxyCA.Key),
		"sa.pub": string(p.ServiceAccount.Certificate), "sa.key": string(p.ServiceAccount.Key),
		"etcd/ca.crt":               string(p.EtcdCA.Certificate),
		"apiserver-etcd-client.crt": string(p.EtcdClient.Certificate), "apiserver-etcd-client.key": string(p.EtcdClient.Key),
	}
}

func nonNil(in []string) []string {
	if in == nil {
		return []string{}
	}
	return in
}

func encode(o object) ([]byte, error) {
	data, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return append(data, '\n'), nil
}
