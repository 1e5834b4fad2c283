package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

const (
	blockCertificate = "CERTIFICATE"
	blockECKey       = "EC PRIVATE KEY"
	blockPKCS8Key    = "PRIVATE KEY"
	blockRSAKey      = "RSA PRIVATE KEY"
	blockPublicKey   = "PUBLIC KEY"
)

// Pair is a certificate (or, for service accounts, a public key) and its private key, both in PEM.
type Pair struct {
	Certificate []byte
	Key         []byte
}

// Empty says that neither half is there.
func (p Pair) Empty() bool { return len(p.Certificate) == 0 && len(p.Key) == 0 }

// Info is what people and planners want to know of a certificate.
type Info struct {
	CommonName    string
	Organizations []string
	// Names are the DNS names and IP addresses, sorted.
	Names     []string
	NotBefore time.Time
	NotAfter  time.Time
	Authority bool
	// Issuer is the common name of the issuer.
	Issuer string
	// Serial is the serial number in hexadecimal.
	Serial string
}

// Read tells what is in the first certificate of a PEM.
func Read(certificate []byte) (Info, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return Info{}, err
	}
	return Info{
		CommonName: c.Subject.CommonName, Organizations: c.Subject.Organization, Names: namesOf(c),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Authority: c.IsCA,
		Issuer: c.Issuer.CommonName, Serial: c.SerialNumber.Text(16),
	}, nil
}

// Expiry is when the first certificate of a PEM ends.
func Expiry(certificate []byte) (time.Time, error) {
	info, err := Read(certificate)
	return info.NotAfter, err
}

// PublicKeyHash is the pin of an authority as kubeadm's discovery wants it: "sha256:" and the digest of its public key.
func PublicKeyHash(certificate []byte) (string, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// WritePair writes certificate (0644) and key (0600) atomically, the key first; directories are made with 0700.
func WritePair(certPath, keyPath string, p Pair) error {
	if err := writeFile(keyPath, p.Key, 0o600); err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	if err := writeFile(certPath, p.Certificate, 0o644); err != nil {
		return fmt.Errorf("writing certificate: %w", err)
	}
	return nil
}

// ReadPair reads what WritePair wrote; files that do not exist leave their half empty.
func ReadPair(certPath, keyPath string) (Pair, error) {
	certificate, err := readIfThere(certPath)
	if err != nil {
		return Pair{}, fmt.Errorf("reading certificate: %w", err)
	}
	key, err := readIfThere(keyPath)
	if err != nil {
		return Pair{}, fmt.Errorf("reading key: %w", err)
	}
	return Pair{Certificate: certificate, Key: key}, nil
}

func readIfThere(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.Replace(path, data, mode)
}

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != blockCertificate {
		return nil, errors.New("reading certificate: no PEM block of type CERTIFICATE")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading certificate: %w", err)
	}
	return c, nil
}

func parseKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("reading key: no PEM block")
	}
	var key any
	var err error
	switch block.Type {
	case blockECKey:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case blockRSAKey:
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case blockPKCS8Key:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("reading key: PEM block of type %q is no private key", block.Type)
	}
	if err != nil {
		// The cause is left out: it may quote bytes of the key.
		return nil, fmt.Errorf("reading key: the PEM block of type %q is damaged", block.Type)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("reading key: the key cannot sign")
	}
	return signer, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockECKey, Bytes: der}), nil
}

func encodePublicKey(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockPublicKey, Bytes: der}), nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	comparable, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(b)
}
