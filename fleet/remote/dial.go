package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// dialTimeout limits the attempt on one address.
const dialTimeout = 5 * time.Second

// dialer opens connections to the addresses of an API server, whatever name is asked for.
type dialer struct {
	mutex     sync.Mutex
	addresses []string
	last      string // the address that answered last is tried first
}

func (d *dialer) set(addresses []string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if !slices.Equal(d.addresses, addresses) {
		d.addresses = slices.Clone(addresses)
	}
}

// order gives the addresses in the order to try them.
func (d *dialer) order() []string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	addresses := slices.Clone(d.addresses)
	if i := slices.Index(addresses, d.last); i > 0 {
		addresses[0], addresses[i] = addresses[i], addresses[0]
	}
	return addresses
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	plain := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	addresses := d.order()
	if len(addresses) == 0 {
		return plain.DialContext(ctx, network, address)
	}
	var all []error
	for _, address := range addresses {
		conn, err := plain.DialContext(ctx, network, address)
		if err == nil {
			d.mutex.Lock()
			d.last = address
			d.mutex.Unlock()
			return conn, nil
		}
		all = append(all, err)
	}
	return nil, errors.Join(all...)
}

// clientConfig reads a kubeconfig.
func clientConfig(kubeconfig []byte) (*rest.Config, error) {
	raw, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if err := selfContained(raw); err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config, err := clientcmd.NewDefaultClientConfig(*raw, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.UserAgent = "slipway"
	config.QPS, config.Burst = 50, 100
	return config, nil
}

// selfContained refuses a kubeconfig that does not hold everything in itself: the programs and files that it names
// would be run and read with the operator's rights.
func selfContained(raw *clientcmdapi.Config) error {
	for _, user := range raw.AuthInfos {
		switch {
		case user.Exec != nil || user.AuthProvider != nil:
			return errors.New("it names a program or provider for its credentials, which is refused")
		case user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "":
			return errors.New("it names files, which is refused: put their content in")
		}
	}
	for _, cluster := range raw.Clusters {
		switch {
		case cluster.CertificateAuthority != "":
			return errors.New("it names files, which is refused: put their content in")
		case cluster.InsecureSkipTLSVerify || !strings.HasPrefix(cluster.Server, "https://"):
			return errors.New("it turns off the check of the API server's certificate, which is refused")
		}
	}
	return nil
}

// httpClient makes the one client of a connection. client-go's own transports are kept by its process-wide cache and
// cannot be closed.
func httpClient(config *rest.Config, d *dialer) (*http.Client, *http.Transport, error) {
	secure, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the certificates of the kubeconfig: %w", err)
	}
	transport := &http.Transport{
		TLSClientConfig:     secure,
		DialContext:         d.dial,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 4,
		// A host that lost its power says nothing: ask it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	wrapped, err := rest.HTTPWrappersForConfig(config, transport)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the credentials of the kubeconfig: %w", err)
	}
	return &http.Client{Transport: wrapped}, transport, nil
}
