package plane

import (
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/certs"
)

// servingCertificate keeps a certificate in memory and makes it anew before it ends.
type servingCertificate struct {
	pki  *pki
	leaf certs.Leaf

	mu      sync.Mutex
	pair    certs.Pair
	parsed  *tls.Certificate
	checked time.Time
}

func (s *servingCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed != nil && time.Since(s.checked) < time.Hour {
		return s.parsed, nil
	}
	authority, err := s.pki.read(apiAuthority)
	if err != nil {
		return nil, err
	}
	pair, made, err := s.pki.issuer.EnsureLeaf(s.pair, authority, s.leaf)
	if err != nil {
		return nil, err
	}
	if made {
		parsed, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate of %s: %w", s.leaf.CommonName, err)
		}
		s.pair, s.parsed = pair, &parsed
	}
	s.checked = time.Now()
	return s.parsed, nil
}
