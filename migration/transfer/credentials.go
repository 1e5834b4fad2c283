package transfer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-dev/slipway/certs"
)

const (
	// sourceName is what every source's certificate is made out to: hosts may have any name, the authority is of this
	// transfer alone.
	sourceName = "slipway-source"
	targetName = "slipway-target"

	authorityFile = "ca.crt"
	authorityKey  = "ca.key"
	certFile      = "tls.crt"
	keyFile       = "tls.key"
)

// CredentialFolders are the folders that InitCredentials makes, one for each host.
func CredentialFolders() []string { return []string{"source", "target"} }

// InitCredentials writes an authority and the folders source and target, each with ca.crt, tls.crt and tls.key, below a
// folder. What is there and good stays. ca.key is needed for nothing but another InitCredentials.
func InitCredentials(folder string, issuer *certs.Issuer) error {
	ca, err := certs.ReadPair(filepath.Join(folder, authorityFile), filepath.Join(folder, authorityKey))
	if err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	ca, made, err := issuer.EnsureCA(ca, "slipway-transfer")
	if err == nil && made {
		err = certs.WritePair(filepath.Join(folder, authorityFile), filepath.Join(folder, authorityKey), ca)
	}
	if err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	leaves := []certs.Leaf{
		{CommonName: sourceName, Names: []string{sourceName}, Usage: certs.Server},
		{CommonName: targetName, Names: []string{targetName}, Usage: certs.Client},
	}
	for i, name := range CredentialFolders() {
		if err := ensureCredentials(filepath.Join(folder, name), ca, leaves[i], issuer); err != nil {
			return fmt.Errorf("making certificates of the %s: %w", name, err)
		}
	}
	return nil
}

func ensureCredentials(folder string, ca certs.Pair, leaf certs.Leaf, issuer *certs.Issuer) error {
	certPath, keyPath := filepath.Join(folder, certFile), filepath.Join(folder, keyFile)
	have, err := certs.ReadPair(certPath, keyPath)
	if err != nil {
		return err
	}
	pair, made, err := issuer.EnsureLeaf(have, ca, leaf)
	if err != nil {
		return err
	}
	if made {
		if err := certs.WritePair(certPath, keyPath, pair); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, authorityFile), ca.Certificate, 0o644)
}

// SourceTLS reads a source's folder: it speaks TLS 1.3 with holders of a certificate of the authority and nobody else.
func SourceTLS(folder string) (*tls.Config, error) {
	pair, pool, err := readCredentials(folder)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true}, nil
}

// TargetTLS reads a target's folder: it speaks TLS 1.3 with a source of the authority and nobody else.
func TargetTLS(folder string) (*tls.Config, error) {
	pair, pool, err := readCredentials(folder)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: sourceName,
		NextProtos: []string{"http/1.1"}}, nil
}

func readCredentials(folder string) (tls.Certificate, *x509.CertPool, error) {
	authority, err := os.ReadFile(filepath.Join(folder, authorityFile))
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("reading certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return tls.Certificate{}, nil, fmt.Errorf("reading certificates: %s holds none", authorityFile)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, certFile), filepath.Join(folder, keyFile))
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("reading certificates: %w", err)
	}
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		return tls.Certificate{}, nil, errors.New("reading certificates: " + certFile + " has ended: run slipway prometheus agent init again")
	}
	return pair, pool, nil
}
