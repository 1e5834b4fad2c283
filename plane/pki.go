package plane

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/slipway-dev/slipway/certs"
)

const (
	loopback       = "127.0.0.1"
	pkiDir         = "pki"
	encryptionFile = "encryption.yaml"
	kubeconfigFile = "kubeconfig"
	managerConfig  = "controller-manager.kubeconfig"

	// The API server and etcd have authorities of their own, so that no user of the API can talk to etcd.
	apiAuthority  = "ca"
	etcdAuthority = "etcd-ca"
	// administrators is the group that the API server lets do everything.
	administrators = "system:masters"
)

// pki is the certificates of a plane, as files below its directory.
type pki struct {
	dir    string
	issuer *certs.Issuer
	// fresh says that there is no data yet: an authority that is half there was never used.
	fresh bool
}

func newPKI(dir string, fresh bool) *pki {
	return &pki{dir: filepath.Join(dir, pkiDir), issuer: certs.New(certs.Options{}), fresh: fresh}
}

func (p *pki) cert(name string) string { return filepath.Join(p.dir, name+".crt") }
func (p *pki) key(name string) string  { return filepath.Join(p.dir, name+".key") }

func (p *pki) read(name string) (certs.Pair, error) {
	return certs.ReadPair(p.cert(name), p.key(name))
}

// leaves lists every certificate that the plane needs, by file name.
func leaves(listenHost string) map[string]struct {
	authority string
	certs.Leaf
} {
	type leaf = struct {
		authority string
		certs.Leaf
	}
	local := []string{loopback, "localhost"}
	serving := slices.Concat(local, []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.0.0.1"})
	if ip := net.ParseIP(listenHost); !ip.IsLoopback() && !ip.IsUnspecified() {
		serving = append(serving, listenHost)
	} else if ip.IsUnspecified() {
		serving = append(serving, hostAddresses()...)
	}
	return map[string]leaf{
		"apiserver":             {apiAuthority, certs.Leaf{CommonName: "kube-apiserver", Names: serving, Usage: certs.Server}},
		"admin":                 {apiAuthority, certs.Leaf{CommonName: "slipway-admin", Organizations: []string{administrators}, Usage: certs.Client}},
		"operator":              {apiAuthority, certs.Leaf{CommonName: "slipway-operator", Organizations: []string{administrators}, Usage: certs.Client}},
		"controller-manager":    {apiAuthority, certs.Leaf{CommonName: "system:kube-controller-manager", Names: local, Usage: certs.Peer}},
		"etcd":                  {etcdAuthority, certs.Leaf{CommonName: "etcd", Names: local, Usage: certs.Peer}},
		"apiserver-etcd-client": {etcdAuthority, certs.Leaf{CommonName: "kube-apiserver-etcd-client", Usage: certs.Client}},
	}
}

// hostAddresses are the addresses of this machine, for a plane that listens on all of them.
func hostAddresses() []string {
	var out []string
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			out = append(out, network.IP.String())
		}
	}
	return out
}

// ensure makes what is missing or ends soon, and keeps everything else.
func (p *pki) ensure(listenHost string) error {
	authorities := map[string]certs.Pair{}
	for _, name := range []string{apiAuthority, etcdAuthority} {
		pair, err := p.ensureAuthority(name)
		if err != nil {
			return err
		}
		authorities[name] = pair
	}
	for name, leaf := range leaves(listenHost) {
		if err := p.ensureLeaf(name, authorities[leaf.authority], leaf.Leaf); err != nil {
			return err
		}
	}
	return p.ensureServiceAccountKey()
}

func (p *pki) ensureAuthority(name string) (certs.Pair, error) {
	existing, err := p.read(name)
	if err != nil {
		return certs.Pair{}, err
	}
	if p.fresh && (len(existing.Certificate) == 0 || len(existing.Key) == 0) {
		existing = certs.Pair{} // an earlier first start was cut off between the two files
	}
	if !p.fresh && existing.Empty() {
		return certs.Pair{}, fmt.Errorf("%s is missing although there is data: put it back from a backup", p.cert(name))
	}
	pair, made, err := p.issuer.EnsureCA(existing, "slipway-plane-"+name)
	if err != nil {
		return certs.Pair{}, fmt.Errorf("%w (%s: put it back from a backup)", err, p.cert(name))
	}
	if !made {
		return pair, nil
	}
	return pair, certs.WritePair(p.cert(name), p.key(name), pair)
}

func (p *pki) ensureLeaf(name string, authority certs.Pair, leaf certs.Leaf) error {
	existing, err := p.read(name)
	if err != nil {
		return err
	}
	pair, made, err := p.issuer.EnsureLeaf(existing, authority, leaf)
	if err != nil || !made {
		return err
	}
	return certs.WritePair(p.cert(name), p.key(name), pair)
}

func (p *pki) ensureServiceAccountKey() error {
	existing, err := p.read("sa")
	if err != nil {
		return err
	}
	pair, made, err := p.issuer.EnsureServiceAccountKey(existing)
	if err != nil || !made {
		return err
	}
	return certs.WritePair(p.cert("sa"), p.key("sa"), pair)
}

// ensureEncryption writes the configuration, key included, by which Secrets are encrypted before they reach etcd.
func ensureEncryption(dir string, fresh bool) error {
	path := filepath.Join(dir, encryptionFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the encryption key: %w", err)
	}
	if !fresh {
		return fmt.Errorf("%s is missing although there is data: without its key the Secrets cannot be read; put it back from a backup", path)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return writeFile(path, fmt.Appendf(nil, `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - name: key1
        secret: %s
  - identity: {}
`, base64.StdEncoding.EncodeToString(key)))
}

// writeKubeconfigs writes the administrator's kubeconfig and that of the controller manager, if they changed.
func (p *pki) writeKubeconfigs(dir string, s State) error {
	for file, leaf := range map[string]string{kubeconfigFile: "admin", managerConfig: "controller-manager"} {
		client, err := p.read(leaf)
		if err != nil {
			return err
		}
		authority, err := p.read(apiAuthority)
		if err != nil {
			return err
		}
		data, err := certs.Kubeconfig{
			Cluster: "slipway", User: leaf, Server: s.url(), CA: authority.Certificate, Client: client,
		}.Encode()
		if err != nil {
			return err
		}
		path := filepath.Join(dir, file)
		if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
			continue
		}
		if err := writeFile(path, data); err != nil {
			return err
		}
	}
	return nil
}

// url is where the API server is reached from this machine.
func (s State) url() string {
	host := s.ListenHost
	if net.ParseIP(host).IsUnspecified() {
		host = loopback
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(s.Ports.APIServer))
}
