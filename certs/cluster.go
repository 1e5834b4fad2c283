package certs

import (
	"fmt"
	"slices"
	"strings"
)

// Keys of the map form of a Cluster, as kept in a Secret.
const (
	keyCA             = "ca"
	keyFrontProxyCA   = "front-proxy-ca"
	keyEtcdCA         = "etcd-ca"
	keyServiceAccount = "sa"
	keyEtcdClient     = "apiserver-etcd-client"
	prefixEtcdServer  = "etcd-server-"
	prefixEtcdPeer    = "etcd-peer-"
)

// Cluster is the PKI of one Kubernetes cluster.
type Cluster struct {
	CA             Pair
	FrontProxyCA   Pair
	EtcdCA         Pair
	ServiceAccount Pair
	// EtcdClient is what the API servers show to etcd.
	EtcdClient Pair
	// EtcdMembers are the certificates of etcd members by name.
	EtcdMembers map[string]EtcdMember
}

// EtcdMember is the certificates of one etcd member.
type EtcdMember struct {
	Server Pair
	Peer   Pair
}

// Member is what the certificates of an etcd member are made out to.
type Member struct {
	Name string
	// Names are DNS names and IP addresses at which the member is reached; loopback is always added.
	Names []string
}

// EnsureCluster completes a PKI: what is there and good stays as it is. Members that are not asked for are left as they
// are. The leaves of etcd live as long as their authority: kubeadm renews its own, but nobody would renew these, and a
// cluster whose etcd certificates end is lost.
func (i *Issuer) EnsureCluster(c Cluster, members []Member) (out Cluster, made bool, err error) {
	authorities := []struct {
		pair *Pair
		name string
	}{
		{&c.CA, "kubernetes"}, {&c.FrontProxyCA, "front-proxy-ca"}, {&c.EtcdCA, "etcd-ca"},
	}
	for _, a := range authorities {
		pair, fresh, err := i.EnsureCA(*a.pair, a.name)
		if err != nil {
			return Cluster{}, false, err
		}
		*a.pair, made = pair, made || fresh
	}
	pair, fresh, err := i.EnsureServiceAccountKey(c.ServiceAccount)
	if err != nil {
		return Cluster{}, false, err
	}
	c.ServiceAccount, made = pair, made || fresh
	pair, fresh, err = i.EnsureLeaf(c.EtcdClient, c.EtcdCA, Leaf{CommonName: "kube-apiserver-etcd-client", Usage: Client, Validity: DefaultAuthorityValidity})
	if err != nil {
		return Cluster{}, false, err
	}
	c.EtcdClient, made = pair, made || fresh
	fresh, err = i.ensureMembers(&c, members)
	return c, made || fresh, err
}

func (i *Issuer) ensureMembers(c *Cluster, members []Member) (made bool, err error) {
	all := make(map[string]EtcdMember, len(c.EtcdMembers)+len(members))
	for name, m := range c.EtcdMembers {
		all[name] = m
	}
	for _, m := range members {
		leaf := Leaf{
			CommonName: m.Name, Names: append([]string{"localhost", "127.0.0.1", "::1", m.Name}, m.Names...),
			Usage: Peer, Validity: DefaultAuthorityValidity,
		}
		have := all[m.Name]
		server, freshServer, err := i.EnsureLeaf(have.Server, c.EtcdCA, leaf)
		if err != nil {
			return false, err
		}
		peer, freshPeer, err := i.EnsureLeaf(have.Peer, c.EtcdCA, leaf)
		if err != nil {
			return false, err
		}
		all[m.Name] = EtcdMember{Server: server, Peer: peer}
		made = made || freshServer || freshPeer
	}
	if len(all) > 0 {
		c.EtcdMembers = all
	}
	return made, nil
}

// AdminKubeconfig renders a kubeconfig with the rights of an administrator of the cluster. The client certificate in
// an existing kubeconfig is kept while it is good and everything else is the same.
func (i *Issuer) AdminKubeconfig(c Cluster, clusterName, server string, existing []byte) (kubeconfig []byte, made bool, err error) {
	have := clientOf(existing)
	leaf := Leaf{CommonName: "slipway-admin", Organizations: []string{"system:masters"}, Usage: Client}
	client, _, err := i.EnsureLeaf(have, c.CA, leaf)
	if err != nil {
		return nil, false, fmt.Errorf("making kubeconfig of cluster %s: %w", clusterName, err)
	}
	kubeconfig, err = Kubeconfig{
		Cluster: clusterName, User: "admin", Server: server, CA: c.CA.Certificate, Client: client,
	}.Encode()
	if err != nil {
		return nil, false, err
	}
	return kubeconfig, string(kubeconfig) != string(existing), nil
}

// Data gives the PKI as a map of file names to PEM: ca.crt, ca.key, front-proxy-ca.*, etcd-ca.*, sa.pub, sa.key,
// apiserver-etcd-client.*, etcd-server-<member>.*, etcd-peer-<member>.*. Halves that are missing are left out.
func (c Cluster) Data() map[string][]byte {
	out := map[string][]byte{}
	put := func(name string, p Pair) {
		public := name + ".crt"
		if name == keyServiceAccount {
			public = name + ".pub"
		}
		if len(p.Certificate) > 0 {
			out[public] = p.Certificate
		}
		if len(p.Key) > 0 {
			out[name+".key"] = p.Key
		}
	}
	put(keyCA, c.CA)
	put(keyFrontProxyCA, c.FrontProxyCA)
	put(keyEtcdCA, c.EtcdCA)
	put(keyServiceAccount, c.ServiceAccount)
	put(keyEtcdClient, c.EtcdClient)
	for name, m := range c.EtcdMembers {
		put(prefixEtcdServer+name, m.Server)
		put(prefixEtcdPeer+name, m.Peer)
	}
	return out
}

// FromData reads what Data gave. It checks nothing: EnsureCluster does.
func FromData(data map[string][]byte) Cluster {
	get := func(name string) Pair { return Pair{Certificate: data[name+".crt"], Key: data[name+".key"]} }
	c := Cluster{
		CA: get(keyCA), FrontProxyCA: get(keyFrontProxyCA), EtcdCA: get(keyEtcdCA), EtcdClient: get(keyEtcdClient),
		ServiceAccount: Pair{Certificate: data[keyServiceAccount+".pub"], Key: data[keyServiceAccount+".key"]},
	}
	for _, file := range sortedKeys(data) {
		name, ok := strings.CutSuffix(file, ".crt")
		if !ok {
			continue
		}
		member, ok := strings.CutPrefix(name, prefixEtcdServer)
		if !ok {
			continue
		}
		if c.EtcdMembers == nil {
			c.EtcdMembers = map[string]EtcdMember{}
		}
		c.EtcdMembers[member] = EtcdMember{Server: get(prefixEtcdServer + member), Peer: get(prefixEtcdPeer + member)}
	}
	return c
}

func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
