package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/certs"
)

// defaultMirrorPort is taken when no address is named; another one when that is in use.
const defaultMirrorPort = 8443

// mirror serves the bundles to machines over TLS, with a certificate of an authority of its own that the machines are
// told about. Its certificate names the address at which it was reached, so that addresses may come later.
type mirror struct {
	listener net.Listener
	server   *bundle.Server
	issuer   *certs.Issuer
	ca       certs.Pair
	named    []string // URLs that were given; empty: those of the listener

	mu     sync.Mutex
	leaves map[string]leafOf
}

type leafOf struct {
	parsed *tls.Certificate
	made   time.Time
}

// newMirror listens; serve answers.
func newMirror(dir, listen string, urls []string, bundles []*bundle.Bundle, log *slog.Logger) (*mirror, error) {
	m := &mirror{issuer: certs.New(certs.Options{}), named: urls, leaves: map[string]leafOf{}}
	cert, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	existing, err := certs.ReadPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading the mirror's authority: %w", err)
	}
	if len(existing.Certificate) == 0 {
		existing = certs.Pair{} // a key alone is what a first start that was cut off leaves
	}
	var made bool
	if m.ca, made, err = m.issuer.EnsureCA(existing, "slipway-mirror-ca"); err != nil {
		return nil, fmt.Errorf("%w (delete %s to have a new one)", err, dir)
	}
	if made {
		if err := certs.WritePair(cert, key, m.ca); err != nil {
			return nil, fmt.Errorf("writing the mirror's authority: %w", err)
		}
	}
	if m.listener, err = listenMirror(listen); err != nil {
		return nil, err
	}
	m.server = bundle.NewServer(bundle.ServerOptions{
		Bundles: bundles, Log: log, TLS: &tls.Config{GetCertificate: m.certificate, MinVersion: tls.VersionTLS12},
	})
	return m, nil
}

// listenMirror takes the address that was named, or a good one.
func listenMirror(address string) (net.Listener, error) {
	if address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("opening the mirror (--mirror-listen must be an address of this host and a free port): %w", err)
		}
		return listener, nil
	}
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(defaultMirrorPort))
	if errors.Is(err, syscall.EADDRINUSE) {
		listener, err = net.Listen("tcp", ":0")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the mirror: %w", err)
	}
	return listener, nil
}

func (m *mirror) serve(ctx context.Context) error { return m.server.Serve(ctx, m.listener) }

// urls are where machines find the mirror, best first. They are looked up each time: an address may come later.
func (m *mirror) urls() []string {
	if len(m.named) > 0 {
		return m.named
	}
	address := m.listener.Addr().(*net.TCPAddr)
	hosts := []string{address.IP.String()}
	if address.IP.IsUnspecified() {
		hosts = globalAddresses()
	}
	var out []string
	for _, host := range hosts {
		out = append(out, "https://"+net.JoinHostPort(host, strconv.Itoa(address.Port)))
	}
	return out
}

// globalAddresses are the IPv4 addresses of this host at which others may reach it, sorted.
func globalAddresses() []string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			out = append(out, network.IP.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// certificate gives a certificate for the address that a machine has connected to, and for the names in the URLs.
func (m *mirror) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return nil, fmt.Errorf("finding the mirror's address: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.leaves[host]
	if known.parsed != nil && time.Since(known.made) < 24*time.Hour {
		return known.parsed, nil
	}
	pair, err := m.issuer.NewLeaf(m.ca, certs.Leaf{CommonName: "slipway-mirror", Names: m.names(host), Usage: certs.Server})
	if err != nil {
		return nil, err
	}
	parsed, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the mirror's certificate: %w", err)
	}
	m.leaves[host] = leafOf{&parsed, time.Now()}
	return &parsed, nil
}

func (m *mirror) names(host string) []string {
	names := []string{host}
	for _, text := range m.named {
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" {
			names = append(names, u.Hostname())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
