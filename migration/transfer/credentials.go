package transfer

import (
	"bytes"
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

// Credentials are the files of InitCredentials by their names, as a Secret holds them: of the authority (ca.crt, ca.key), and of the folders
// source and target (ca.crt, tls.crt, tls.key).
type Credentials struct{ Authority, Source, Target map[string][]byte }

// EnsureCredentials gives certificates for a transfer. What is in have and good stays; what is not there or ends soon is made.
func EnsureCredentials(have Credentials, issuer *certs.Issuer) (Credentials, error) {
	ca, _, err := issuer.EnsureCA(certs.Pair{Certificate: have.Authority[authorityFile], Key: have.Authority[authorityKey]}, "slipway-transfer")
	if err != nil {
		return have, fmt.Errorf("making certificates: %w", err)
	}
	all := Credentials{Authority: map[string][]byte{authorityFile: ca.Certificate, authorityKey: ca.Key}}
	for _, side := range []struct {
		name string
		have map[string][]byte
		into *map[string][]byte
		leaf certs.Leaf
	}{
		{"source", have.Source, &all.Source, certs.Leaf{CommonName: sourceName, Names: []string{sourceName}, Usage: certs.Server}},
		{"target", have.Target, &all.Target, certs.Leaf{CommonName: targetName, Names: []string{targetName}, Usage: certs.Client}},
	} {
		pair, _, err := issuer.EnsureLeaf(certs.Pair{Certificate: side.have[certFile], Key: side.have[keyFile]}, ca, side.leaf)
		if err != nil {
			return have, fmt.Errorf("making certificates of the %s: %w", side.name, err)
		}
		*side.into = map[string][]byte{authorityFile: ca.Certificate, certFile: pair.Certificate, keyFile: pair.Key}
	}
	return all, nil
}

// InitCredentials writes an authority and the folders source and target, each with ca.crt, tls.crt and tls.key, below a
// folder. What is there and good stays. ca.key is needed for nothing but another InitCredentials.
func InitCredentials(folder string, issuer *certs.Issuer) error {
	pair := func(dir, cert, key string) (map[string][]byte, error) {
		p, err := certs.ReadPair(filepath.Join(folder, dir, cert), filepath.Join(folder, dir, key))
		return map[string][]byte{cert: p.Certificate, key: p.Key}, err
	}
	var have Credentials
	var errs [3]error
	have.Authority, errs[0] = pair("", authorityFile, authorityKey)
	have.Source, errs[1] = pair("source", certFile, keyFile)
	have.Target, errs[2] = pair("target", certFile, keyFile)
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	all, err := EnsureCredentials(have, issuer)
	if err != nil {
		return err
	}
	if err := writePair(folder, authorityFile, authorityKey, have.Authority, all.Authority); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	for i, side := range []struct{ have, want map[string][]byte }{{have.Source, all.Source}, {have.Target, all.Target}} {
		name := CredentialFolders()[i]
		if err := writeFolder(filepath.Join(folder, name), side.have, side.want); err != nil {
			return fmt.Errorf("making certificates of the %s: %w", name, err)
		}
	}
	return nil
}

func writeFolder(folder string, have, want map[string][]byte) error {
	if err := writePair(folder, certFile, keyFile, have, want); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, authorityFile), want[authorityFile], 0o644)
}

// writePair leaves a pair that stays as it is.
func writePair(folder, cert, key string, have, want map[string][]byte) error {
	if bytes.Equal(have[cert], want[cert]) && bytes.Equal(have[key], want[key]) {
		return nil
	}
	return certs.WritePair(filepath.Join(folder, cert), filepath.Join(folder, key), certs.Pair{Certificate: want[cert], Key: want[key]})
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
