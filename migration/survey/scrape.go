package survey

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
)

// mostOfScrape is how much of a target's metrics is read: enough to see that they come.
const mostOfScrape = 64 << 10

// scraper scrapes targets once, without credentials.
type scraper struct {
	timeout time.Duration
	// local says that the source runs on this host: its own targets can be tried.
	local  bool
	dialer net.Dialer
}

// try scrapes one target; an empty kind means that it gives metrics.
func (s *scraper) try(ctx context.Context, p place) (GapKind, string) {
	host, port := hostPort(p.address)
	switch {
	case port == "?":
		return Failing, "its address cannot be read"
	case loopback(host) && !s.local:
		return OnItsHost, ""
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if p.job.proxy != "" {
		return s.tryProxy(ctx, p)
	}
	// A connection of its own first: it tells the way there from what answers.
	conn, err := s.dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return p.unlessDown(wayError(err))
	}
	kind, why := s.scrape(ctx, conn, p)
	if kind == Failing {
		return p.unlessDown(kind, why)
	}
	return kind, why
}

// tryProxy connects to the proxy of the job; what lies behind is asked by it.
func (s *scraper) tryProxy(ctx context.Context, p place) (GapKind, string) {
	u, err := url.Parse(p.job.proxy)
	if err != nil || u.Host == "" {
		return Guarded, "its job has a proxy whose address cannot be read"
	}
	host, port := hostPort(p.job.proxy)
	conn, err := s.dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		kind, why := wayError(err)
		return kind, "the proxy of its job: " + why
	}
	_ = conn.Close()
	return Guarded, "the proxy of its job is reached; what lies behind was not asked"
}

// unlessDown calls a gap DownOnBoth where the source does not get through either.
func (p place) unlessDown(kind GapKind, why string) (GapKind, string) {
	if p.Health == "down" {
		return DownOnBoth, why
	}
	return kind, why
}

func wayError(err error) (GapKind, string) {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return Unresolved, "no such host: " + dns.Name
	}
	return Unreachable, err.Error()
}

// scrape asks for metrics over the connection.
func (s *scraper) scrape(ctx context.Context, conn net.Conn, p place) (GapKind, string) {
	defer func() { _ = conn.Close() }()
	var used atomic.Bool
	transport := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if used.Swap(true) {
				return s.dialer.DialContext(ctx, network, address)
			}
			return conn, nil
		}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address, nil)
	if err != nil {
		return Failing, "its address makes no request"
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1")
	res, err := client.Do(req)
	if err != nil {
		return answerError(err, p)
	}
	defer func() { _ = res.Body.Close() }()
	return judgeAnswer(res, p)
}

// answerError is what went wrong after the connection stood.
func answerError(err error, p place) (GapKind, string) {
	var inner *url.Error // repeats the address, parameters and all
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	if errors.As(err, &certificate) || errors.As(err, &alert) {
		if p.job.tls {
			return Guarded, "its certificate is a matter of the job's tls_config: " + err.Error()
		}
		return Failing, err.Error()
	}
	return Failing, err.Error()
}

func judgeAnswer(res *http.Response, p place) (GapKind, string) {
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		if p.job.credentials || p.job.tls {
			return Guarded, fmt.Sprintf("it answers %d: the job's credentials were not tried", code)
		}
		return Failing, fmt.Sprintf("it answers %d; the job has no credentials, so it may go by the address that asks", code)
	case code >= 300 && code < 400:
		return Guarded, fmt.Sprintf("it answers %d and leads elsewhere; that was not followed", code)
	case code != http.StatusOK:
		return Failing, fmt.Sprintf("it answers %d", code)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(res.Body, mostOfScrape))
	if err != nil {
		return Failing, fmt.Sprintf("its answer ends after %d bytes: %v", n, err)
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch kind {
	case "text/plain", "application/openmetrics-text", "application/vnd.google.protobuf":
		if err == nil {
			return "", ""
		}
	}
	return Untyped, fmt.Sprintf("its content type is %q; 3.x wants fallback_scrape_protocol in the job", server.Clip(res.Header.Get("Content-Type"), 60))
}
