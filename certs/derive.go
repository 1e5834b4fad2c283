package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// DeriveSecret derives length bytes from the private key of an authority and a purpose: the same input gives the same
// bytes, and nobody without the key can tell them. It serves secrets that must be the same after a restart and that
// are not worth keeping, such as bootstrap tokens.
func DeriveSecret(ca Pair, purpose string, length int) ([]byte, error) {
	_, signer, err := authority(ca)
	if err != nil {
		return nil, fmt.Errorf("deriving secret: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("deriving secret: the authority's key cannot be encoded")
	}
	out, err := hkdf.Key(sha256.New, der, nil, "slipway "+purpose, length)
	if err != nil {
		return nil, fmt.Errorf("deriving secret: %w", err)
	}
	return out, nil
}

// Derive makes a leaf certificate whose key, serial number and signature depend on the authority, the description, the
// purpose and the time alone: asked again, it gives the same bytes (with an authority whose key is ECDSA or RSA).
// It serves certificates of which there are thousands and that are kept nowhere but on their hosts.
func Derive(ca Pair, l Leaf, purpose string, at time.Time) (Pair, error) {
	parent, signer, err := authority(ca)
	if err != nil {
		return Pair{}, fmt.Errorf("deriving certificate %q: %w", l.CommonName, err)
	}
	seed, err := DeriveSecret(ca, "leaf "+purpose+" "+l.CommonName, 64)
	if err != nil {
		return Pair{}, fmt.Errorf("deriving certificate %q: %w", l.CommonName, err)
	}
	key, err := keyFrom(seed[:48])
	if err != nil {
		return Pair{}, fmt.Errorf("deriving certificate %q: %w", l.CommonName, err)
	}
	template, err := leafTemplate(parent, l, at)
	if err != nil {
		return Pair{}, fmt.Errorf("deriving certificate %q: %w", l.CommonName, err)
	}
	template.SerialNumber = new(big.Int).SetBytes(seed[48:])
	template.SerialNumber.SetBit(template.SerialNumber, 127, 0).SetBit(template.SerialNumber, 0, 1)
	// Without a source of randomness ECDSA signs as RFC 6979 says: the same input gives the same signature.
	der, err := x509.CreateCertificate(nil, template, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, fmt.Errorf("deriving certificate %q: signing: %w", l.CommonName, err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("deriving certificate %q: %w", l.CommonName, err)
	}
	return Pair{Certificate: encodeCertificate(der), Key: private}, nil
}

// keyFrom turns seed bytes into a P-256 key: 16 bytes more than the order has make the bias of the remainder vanish.
func keyFrom(seed []byte) (*ecdsa.PrivateKey, error) {
	n := elliptic.P256().Params().N
	d := new(big.Int).SetBytes(seed)
	d.Mod(d, new(big.Int).Sub(n, big.NewInt(1))).Add(d, big.NewInt(1))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	if err != nil {
		return nil, fmt.Errorf("deriving key: %w", err)
	}
	return key, nil
}
