package plane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// probe makes a check that asks a URL, with a client certificate, and wants 200.
func (p *pki) probe(url, authority, client string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		config, err := p.clientTLS(authority, client)
		if err != nil {
			return err
		}
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("asking %s: %w", url, err)
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(response.Body, 512))
			return fmt.Errorf("asking %s: %s: %s", url, response.Status, body)
		}
		return nil
	}
}

// clientTLS is how to talk to a server of the plane as one of its clients.
func (p *pki) clientTLS(authority, client string) (*tls.Config, error) {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(p.cert(authority))
	if err != nil {
		return nil, fmt.Errorf("reading authority %s: %w", authority, err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("reading authority " + p.cert(authority) + ": no certificate in it")
	}
	pair, err := tls.LoadX509KeyPair(p.cert(client), p.key(client))
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s: %w", client, err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
