package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	// DefaultAuthorityValidity is how long an authority is good for: ten years, as kubeadm's.
	DefaultAuthorityValidity = 10 * 365 * 24 * time.Hour
	// DefaultLeafValidity is how long a leaf is good for: one year, as kubeadm's.
	DefaultLeafValidity = 365 * 24 * time.Hour
	// DefaultRenewBefore is how long before its end EnsureLeaf makes a leaf anew.
	DefaultRenewBefore = 90 * 24 * time.Hour
	// backdate forgives hosts whose clocks are behind.
	backdate = time.Hour
)

// Usage says what a leaf proves.
type Usage int

// The usages of leaves.
const (
	Client Usage = 1 << iota
	Server
	Peer = Client | Server
)

// Leaf describes a leaf certificate.
type Leaf struct {
	CommonName    string
	Organizations []string
	// Names are DNS names and IP addresses; which is which is found out.
	Names []string
	Usage Usage
	// Validity is how long it is good for; 0 means DefaultLeafValidity. It never outlives its authority.
	Validity time.Duration
	// RenewBefore is how long before its end EnsureLeaf makes it anew; 0 means DefaultRenewBefore, but at most a third of Validity.
	RenewBefore time.Duration
}

// Options are the sources of an Issuer.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Issuer makes keys and certificates. It is safe for concurrent use.
type Issuer struct {
	now func() time.Time
}

// New makes an Issuer.
func New(o Options) *Issuer {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Issuer{now: o.Now}
}

// NewCA makes a self-signed authority.
func (i *Issuer) NewCA(commonName string) (Pair, error) {
	now := i.now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		DNSNames:              []string{commonName}, // as kubeadm's authorities have it
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              now.Add(DefaultAuthorityValidity).UTC(),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	pair, err := sign(template, nil, nil)
	if err != nil {
		return Pair{}, fmt.Errorf("making authority %q: %w", commonName, err)
	}
	return pair, nil
}

// EnsureCA makes the authority when there is none, and otherwise checks and returns it. An authority that is damaged,
// expired or half there is an error: making a new one would cut off all who trust the old one.
func (i *Issuer) EnsureCA(existing Pair, commonName string) (pair Pair, made bool, err error) {
	if existing.Empty() {
		pair, err = i.NewCA(commonName)
		return pair, err == nil, err
	}
	c, _, err := authority(existing)
	if err != nil {
		return Pair{}, false, fmt.Errorf("checking authority %q: %w", commonName, err)
	}
	if !i.now().Before(c.NotAfter) {
		return Pair{}, false, fmt.Errorf("checking authority %q: it ended at %s; a new one has to be rolled out by hand",
			commonName, c.NotAfter.UTC().Format(time.RFC3339))
	}
	return existing, false, nil
}

// NewLeaf makes a leaf certificate of an authority.
func (i *Issuer) NewLeaf(ca Pair, l Leaf) (Pair, error) {
	parent, signer, err := authority(ca)
	if err != nil {
		return Pair{}, fmt.Errorf("making certificate %q: %w", l.CommonName, err)
	}
	template, err := leafTemplate(parent, l, i.now())
	if err != nil {
		return Pair{}, fmt.Errorf("making certificate %q: %w", l.CommonName, err)
	}
	pair, err := sign(template, parent, signer)
	if err != nil {
		return Pair{}, fmt.Errorf("making certificate %q: %w", l.CommonName, err)
	}
	return pair, nil
}

// leafTemplate is all of a leaf but its key and serial number.
func leafTemplate(parent *x509.Certificate, l Leaf, now time.Time) (*x509.Certificate, error) {
	if !now.Before(parent.NotAfter) {
		return nil, fmt.Errorf("its authority %q has ended", parent.Subject.CommonName)
	}
	end := now.Add(l.validity()).UTC()
	if end.After(parent.NotAfter) {
		end = parent.NotAfter
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: l.CommonName, Organization: l.Organizations},
		NotBefore:             parent.NotBefore,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           l.Usage.extended(),
		BasicConstraintsValid: true,
	}
	if len(template.ExtKeyUsage) == 0 {
		return nil, errors.New("no usage is given")
	}
	template.DNSNames, template.IPAddresses = splitNames(l.Names)
	return template, nil
}

// EnsureLeaf returns the existing leaf when it is of this authority, says what is asked for and does not end soon;
// otherwise it makes a new one.
func (i *Issuer) EnsureLeaf(existing, ca Pair, l Leaf) (pair Pair, made bool, err error) {
	if i.good(existing, ca, l) {
		return existing, false, nil
	}
	pair, err = i.NewLeaf(ca, l)
	return pair, err == nil, err
}

// good says that a leaf need not be made anew.
func (i *Issuer) good(p, ca Pair, l Leaf) bool {
	c, err := matching(p)
	if err != nil {
		return false
	}
	parent, err := parseCertificate(ca.Certificate)
	if err != nil || c.CheckSignatureFrom(parent) != nil {
		return false
	}
	dns, ips := splitNames(l.Names)
	want := &x509.Certificate{DNSNames: dns, IPAddresses: ips}
	return c.Subject.CommonName == l.CommonName &&
		slices.Equal(sorted(c.Subject.Organization), sorted(l.Organizations)) &&
		slices.Equal(namesOf(c), namesOf(want)) &&
		slices.Equal(c.ExtKeyUsage, l.Usage.extended()) &&
		i.now().Add(l.renewBefore()).Before(c.NotAfter)
}

// NewServiceAccountKey makes the key pair that signs the tokens of service accounts; Certificate holds the public key.
func (i *Issuer) NewServiceAccountKey() (Pair, error) {
	key, err := newKey()
	if err != nil {
		return Pair{}, fmt.Errorf("making service account key: %w", err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("making service account key: %w", err)
	}
	public, err := encodePublicKey(key.Public())
	if err != nil {
		return Pair{}, fmt.Errorf("making service account key: %w", err)
	}
	return Pair{Certificate: public, Key: private}, nil
}

// EnsureServiceAccountKey makes the pair when there is none. From a private key alone the public one is made again;
// a private key that is damaged or missing is an error, because all tokens would end with it.
func (i *Issuer) EnsureServiceAccountKey(existing Pair) (pair Pair, made bool, err error) {
	if existing.Empty() {
		pair, err = i.NewServiceAccountKey()
		return pair, err == nil, err
	}
	key, err := parseKey(existing.Key)
	if err != nil {
		return Pair{}, false, fmt.Errorf("checking service account key: %w", err)
	}
	public, err := encodePublicKey(key.Public())
	if err != nil {
		return Pair{}, false, fmt.Errorf("checking service account key: %w", err)
	}
	if len(existing.Certificate) != 0 {
		return existing, false, nil
	}
	return Pair{Certificate: public, Key: existing.Key}, true, nil
}

func (l Leaf) validity() time.Duration {
	if l.Validity == 0 {
		return DefaultLeafValidity
	}
	return l.Validity
}

func (l Leaf) renewBefore() time.Duration {
	before := l.RenewBefore
	if before == 0 {
		before = DefaultRenewBefore
	}
	return min(before, l.validity()/3)
}

func (u Usage) extended() []x509.ExtKeyUsage {
	var out []x509.ExtKeyUsage
	if u&Server != 0 {
		out = append(out, x509.ExtKeyUsageServerAuth)
	}
	if u&Client != 0 {
		out = append(out, x509.ExtKeyUsageClientAuth)
	}
	return out
}

// sign makes a key and a certificate for it; without a parent it is self-signed.
func sign(template, parent *x509.Certificate, signer crypto.Signer) (Pair, error) {
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	if parent == nil {
		parent, signer = template, key
	}
	if template.SerialNumber, err = newSerial(); err != nil {
		return Pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, fmt.Errorf("signing: %w", err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Certificate: encodeCertificate(der), Key: private}, nil
}

// newKey always draws from the system's source: keys are the one thing of which a test must not choose the randomness.
func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making key: %w", err)
	}
	return key, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// matching parses a pair and checks that its halves belong together.
func matching(p Pair) (*x509.Certificate, error) {
	c, err := parseCertificate(p.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(p.Key)
	if err != nil {
		return nil, err
	}
	if !samePublicKey(c.PublicKey, key.Public()) {
		return nil, errors.New("certificate and key do not belong together")
	}
	return c, nil
}

func authority(p Pair) (*x509.Certificate, crypto.Signer, error) {
	c, err := matching(p)
	if err != nil {
		return nil, nil, err
	}
	if !c.IsCA {
		return nil, nil, fmt.Errorf("certificate %q is no authority", c.Subject.CommonName)
	}
	signer, err := parseKey(p.Key)
	return c, signer, err
}

func splitNames(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			ips = append(ips, ip)
			continue
		}
		dns = append(dns, name)
	}
	return dns, ips
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return out
}
