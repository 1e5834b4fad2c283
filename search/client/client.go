package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
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
	defaultTimeout  = 30 * time.Second
	defaultMaxBytes = 256 << 20
	maxSecret       = 64 << 10
	// grace is how much longer we wait than we told the server to take: its own word is better than a connection that was cut.
	grace = 10 * time.Second
)

// Options say how a cluster is reached. The zero value of all but Endpoints is good.
type Options struct {
	// Endpoints are addresses of nodes or of what stands before them. The first that answers is used until it does not.
	Endpoints []string
	// User and PasswordFile are for basic authentication. APIKeyFile holds an API key, as id:key or as the server encoded it. Files are read once.
	User, PasswordFile, APIKeyFile string
	// CAFile holds the authorities that may have signed the servers' certificates, as PEM; empty means the system's.
	CAFile string
	// Timeout is how long the server may take for one call; we wait somewhat longer. Default 30 seconds.
	Timeout time.Duration
	// MaxBytes is the largest answer that is read, after decompression; default 256 MiB, which is some 500,000 indices.
	MaxBytes int64
	// MaxShards is how many shards are listed one by one; default 5,000. Above it only those of indices that are not green and of the newest are.
	MaxShards int
}

// Client speaks to one cluster. It may be used by several goroutines.
type Client struct {
	endpoints []*url.URL
	header    http.Header
	http      *http.Client
	o         Options

	mu   sync.Mutex
	turn int // the endpoint that answered last
	load Load
}

// Load is what the cluster was asked for.
type Load struct {
	Calls int `json:"calls"`
	// Bytes are those of the answers, after decompression.
	Bytes      int64   `json:"bytes"`
	SecondsSum float64 `json:"secondsSum"`
	SecondsMax float64 `json:"secondsMax"`
}

// New reads the files that o names. It does not talk to the cluster.
func New(o Options) (*Client, error) {
	if len(o.Endpoints) == 0 {
		return nil, errors.New("reaching the cluster: there is no address; give one like https://es:9200")
	}
	c := &Client{}
	for _, text := range o.Endpoints {
		u, err := parseURL(text)
		if err != nil {
			return nil, fmt.Errorf("reading an address of the cluster: %w", err)
		}
		c.endpoints = append(c.endpoints, u)
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxShards <= 0 {
		o.MaxShards = 5000
	}
	var err error
	if c.header, err = authorization(o); err != nil {
		return nil, err
	}
	transport, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	c.o = o
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Endpoint is the address that answered last; before the first call, the one that is asked first.
func (c *Client) Endpoint() string { return c.endpoints[c.endpoint()].String() }

// Load tells what the cluster was asked for up to now.
func (c *Client) Load() Load {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load
}

func (c *Client) note(n int64, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load.Calls++
	c.load.Bytes += n
	c.load.SecondsSum += took.Seconds()
	c.load.SecondsMax = max(c.load.SecondsMax, took.Seconds())
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
		return nil, errors.New("it is not an address like https://es:9200")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it has a query or a fragment; give the address alone")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func authorization(o Options) (http.Header, error) {
	req := http.Request{Header: http.Header{}}
	switch {
	case o.APIKeyFile != "" && (o.User != "" || o.PasswordFile != ""):
		return nil, errors.New("reaching the cluster: give either an API key or a user with a password")
	case o.APIKeyFile != "":
		key, err := readSecret(o.APIKeyFile)
		if err != nil {
			return nil, err
		}
		if strings.Contains(key, ":") {
			key = base64.StdEncoding.EncodeToString([]byte(key))
		}
		req.Header.Set("Authorization", "ApiKey "+key)
	case o.User != "" && o.PasswordFile != "":
		password, err := readSecret(o.PasswordFile)
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(o.User, password)
	case o.User != "" || o.PasswordFile != "":
		return nil, errors.New("reaching the cluster: a user needs a file with the password, and the file a user")
	}
	return req.Header, nil
}

func readSecret(path string) (string, error) {
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

// newTransport asks for gzip and unpacks it by itself: the limit of an answer is that of what comes out.
func newTransport(o Options) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSHandshakeTimeout = o.Timeout // a node that is overloaded takes its time for this too
	if o.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the authority of the cluster: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the authority of the cluster: %s holds no certificate", o.CAFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}
