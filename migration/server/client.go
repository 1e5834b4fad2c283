package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	defaultTimeout  = time.Minute
	defaultMaxBytes = 64 << 20
	maxSecret       = 64 << 10
)

// Options say how a server is reached and how gently. The zero value of all but URL is good.
type Options struct {
	// Name is what errors call the server: source or target.
	Name string
	// URL is the server's address, with its path prefix if it has one. Secrets have no place in it.
	URL string
	// User and PasswordFile are for basic authentication, TokenFile for a bearer token; the files are read once.
	User, PasswordFile, TokenFile string
	// CAFile holds the authorities that may have signed the server's certificate, as PEM; empty means the system'c.
	CAFile string
	// Timeout ends one request; default 1 minute.
	Timeout time.Duration
	// Pause comes after each request.
	Pause time.Duration
	// LatencyBudget is how long an answer may take. One that takes longer is followed by a pause as long as the excess; 0 means no budget.
	LatencyBudget time.Duration
	// MaxBytes is the largest answer that is read, before and after decompression; default 64 MiB.
	MaxBytes int64
}

// Client asks one Prometheus server, one question at a time, and changes nothing there. It may be used by several goroutines.
type Client struct {
	base   *url.URL
	client *http.Client
	header http.Header
	o      Options
	slot   chan struct{}

	mu   sync.Mutex
	load Load
}

// Load is what a server was asked for.
type Load struct {
	Requests       int     `json:"requests"`
	Bytes          int64   `json:"bytes"`
	SecondsSum     float64 `json:"secondsSum"`
	SecondsMax     float64 `json:"secondsMax"`
	OverBudget     int     `json:"overBudget"`
	SecondsYielded float64 `json:"secondsYielded"`
}

// New reads the files that o names. It does not talk to the server.
func New(o Options) (*Client, error) {
	base, err := parseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the %s: %w", o.Name, err)
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	header, err := authorization(o)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Client{base: base, client: client, header: header, o: o, slot: make(chan struct{}, 1)}, nil
}

// URL is the server's address.
func (c *Client) URL() string { return c.base.String() }

// Name is what errors call the server.
func (c *Client) Name() string { return c.o.Name }

// MaxBytes is the largest answer that is read.
func (c *Client) MaxBytes() int64 { return c.o.MaxBytes }

// Close lets go of idle connections.
func (c *Client) Close() { c.client.CloseIdleConnections() }

// Load tells what the server was asked for up to now.
func (c *Client) Load() Load {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load
}

// parseURL never repeats what it was given: a password may be in it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.User != nil:
		return nil, errors.New("it holds a user or password; give them as a user and a file")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("it is not an address like https://prometheus:9090")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it has a query or a fragment; give the address alone")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func authorization(o Options) (http.Header, error) {
	req := http.Request{Header: http.Header{}}
	switch {
	case o.TokenFile != "" && (o.User != "" || o.PasswordFile != ""):
		return nil, fmt.Errorf("reaching the %s: give either a token or a user with a password", o.Name)
	case o.TokenFile != "":
		token, err := readSecret(o.TokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	case o.User != "":
		password, err := readSecret(o.PasswordFile)
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(o.User, password)
	case o.PasswordFile != "":
		return nil, fmt.Errorf("reaching the %s: a password needs a user", o.Name)
	}
	return req.Header, nil
}

func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if len(data) > maxSecret || text == "" || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("reading a secret: %s must hold one line", path)
	}
	return text, nil
}

func newTransport(o Options) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 1
	t.DisableCompression = true // sizes are counted as they come; remote read brings its own
	if o.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the authority of the %s: %w", o.Name, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the authority of the %s: %s holds no certificate", o.Name, o.CAFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// Ask sends one request and hands its body to read, within the limits, whatever the status. Its errors name server and path, and no header;
// a redirect is not followed.
func (c *Client) Ask(ctx context.Context, method, path string, header http.Header, body []byte, read func(*http.Response, io.Reader) error) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer func() { <-c.slot }()
	inner, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	start := time.Now()
	n, err := c.send(inner, method, path, header, body, read)
	c.note(n, time.Since(start))
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &AskError{Server: c.o.Name, Path: path, Err: err}
	}
	return c.yield(ctx, time.Since(start))
}

func (c *Client) take(ctx context.Context) error {
	select {
	case c.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) send(ctx context.Context, method, path string, header http.Header, body []byte, read func(*http.Response, io.Reader) error) (int64, error) {
	u := *c.base
	u.Path, u.RawQuery, _ = strings.Cut(u.Path+path, "?")
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the address does not make a request")
	}
	for _, h := range []http.Header{c.header, header} {
		for key, values := range h {
			req.Header[key] = values
		}
	}
	res, err := c.client.Do(req)
	if err != nil {
		var inner *url.Error // repeats the whole address, query and all
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return 0, err
	}
	defer res.Body.Close()
	limited := &limitedReader{r: res.Body, left: c.o.MaxBytes}
	err = read(res, limited)
	if limited.over {
		err = fmt.Errorf("%w of %d bytes", ErrTooLarge, c.o.MaxBytes)
	}
	return c.o.MaxBytes - limited.left, err
}

func (c *Client) note(n int64, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load.Requests++
	c.load.Bytes += n
	c.load.SecondsSum += took.Seconds()
	c.load.SecondsMax = max(c.load.SecondsMax, took.Seconds())
	if excess := took - c.o.LatencyBudget; c.o.LatencyBudget > 0 && excess > 0 {
		c.load.OverBudget++
		c.load.SecondsYielded += excess.Seconds()
	}
}

// yield waits with the slot still taken, so that the server rests.
func (c *Client) yield(ctx context.Context, took time.Duration) error {
	wait := c.o.Pause
	if excess := took - c.o.LatencyBudget; c.o.LatencyBudget > 0 && excess > 0 {
		wait += excess
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limitedReader fails, instead of ending, where an answer becomes too long.
type limitedReader struct {
	r    io.Reader
	left int64
	over bool
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		l.over = true
		return 0, ErrTooLarge
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}
