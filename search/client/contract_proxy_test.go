//go:build search || long

package client

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the proxy takes, besides TLS.
const (
	proxyUser     = "reader"
	proxyPassword = "correct-horse"
	proxyKey      = "id-1:battery-staple"
)

// proxy is an nginx of its own process before a server: the one thing that the zips lack is what most clusters are reached through.
type proxy struct {
	// password, key, busy, few and empty are addresses: with a password, with an API key, one that always says 429, one that lets one call a minute
	// through, and one with nobody behind it.
	password, key, busy, few, empty string
	// ca signed the proxy's certificate; other is an authority that did not.
	ca, other string
	dir       string
	process   *exec.Cmd
}

func startProxy(t *testing.T, server string) *proxy {
	dir := t.TempDir()
	p := &proxy{dir: dir, ca: filepath.Join(dir, "ca.pem"), other: filepath.Join(dir, "other.pem")}
	certificate(t, dir, "tls", p.ca)
	certificate(t, dir, "else", p.other)
	write(t, filepath.Join(dir, "users"), proxyUser+":{PLAIN}"+proxyPassword+"\n")
	ports := freePorts(t, 6)
	for i, at := range []*string{&p.password, &p.key, &p.busy, &p.few, &p.empty} {
		*at = fmt.Sprintf("https://127.0.0.1:%d", ports[i])
	}
	p.password += "/behind/"
	write(t, filepath.Join(dir, "nginx.conf"), proxyConfig(dir, server, ports))
	nginx, err := exec.LookPath("/usr/sbin/nginx")
	if err != nil {
		t.Fatalf("%v; make packages installs it", err)
	}
	p.process = exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	p.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[4]))
		if err == nil {
			_ = conn.Close()
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not listen: %v\n%s", err, p.log(t, "error.log"))
		}
	}
}

// stop ends the proxy; ending it twice is one.
func (p *proxy) stop() {
	if p.process.ProcessState == nil {
		_ = p.process.Process.Kill()
		_ = p.process.Wait() // it was killed
	}
}

func (p *proxy) log(t *testing.T, name string) string {
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// proxyConfig is for one process without workers, so that killing it ends all of it. The last port is nobody's.
func proxyConfig(dir, server string, ports []int) string {
	const listen = "  server {\n    listen 127.0.0.1:%d ssl;\n    location %s {\n      %s\n    }\n  }\n"
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off;\nmaster_process off;\npid %[1]s/pid;\nevents { worker_connections 200; }\nhttp {\n  ssl_protocols TLSv1.2 TLSv1.3;\n  ssl_certificate %[1]s/tls.pem;\n"+
		"  ssl_certificate_key %[1]s/tls.key;\n  log_format seen '$request|$status|$upstream_http_content_encoding|$ssl_protocol';\n  access_log %[1]s/access.log seen;\n"+
		"  limit_req_zone $server_port zone=few:1m rate=1r/m;\n  proxy_http_version 1.1;\n  proxy_set_header Accept-Encoding $http_accept_encoding;\n", dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "  %s_temp_path %s/%s;\n", kind, dir, kind)
	}
	fmt.Fprintf(&b, "  map $http_authorization $known { default 0; \"ApiKey %s\" 1; }\n", base64.StdEncoding.EncodeToString([]byte(proxyKey)))
	fmt.Fprintf(&b, listen, ports[0], "/behind/", fmt.Sprintf("auth_basic search; auth_basic_user_file %s/users; proxy_pass %s/;", dir, server))
	fmt.Fprintf(&b, listen, ports[1], "/", "if ($known = 0) { return 401; } proxy_pass "+server+";")
	fmt.Fprintf(&b, listen, ports[2], "/", "return 429;")
	fmt.Fprintf(&b, listen, ports[3], "/", "limit_req zone=few; limit_req_status 429; proxy_pass "+server+";")
	fmt.Fprintf(&b, listen, ports[4], "/", fmt.Sprintf("proxy_pass http://127.0.0.1:%d;", ports[5]))
	b.WriteString("}\n")
	return b.String()
}

// freePorts are held together until all are found.
func freePorts(t *testing.T, n int) []int {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// certificate writes NAME.pem and NAME.key for 127.0.0.1, signed by itself, which makes it the authority too.
func certificate(t *testing.T, dir, name, ca string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, ca, text)
	write(t, filepath.Join(dir, name+".pem"), text)
	write(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func write(t *testing.T, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// behindProxy asks the server through TLS, with passwords and keys that are right and that are wrong.
func (s *server) behindProxy(t *testing.T) {
	p := startProxy(t, s.made.Nodes[0].URL)
	withPassword := Options{Endpoints: []string{p.password}, CAFile: p.ca, User: proxyUser, PasswordFile: fileWith(t, proxyPassword)}
	withKey := Options{Endpoints: []string{p.key}, CAFile: p.ca, APIKeyFile: fileWith(t, proxyKey)}
	for name, o := range map[string]Options{"with a password, below a path": withPassword, "with an API key": withKey} {
		got, err := dial(t, o).Observe(t.Context())
		if err != nil || len(got.Unseen) > 0 || got.UUID != s.about.UUID || len(got.Indices) == 0 {
			t.Errorf("%s: %v; %+v", name, err, got)
		}
	}
	if err := dial(t, withPassword).Call(t.Context(), "PUT", "/through-1", nil, map[string]any{}, nil); err != nil {
		t.Error(err)
	}
	s.refusals(t, p, withPassword, withKey)
	s.goesOn(t, p, withPassword)
	log := p.log(t, "access.log")
	if !strings.Contains(log, "|200|gzip|TLSv1.3") {
		t.Error("no answer of the server came packed, by TLS 1.3")
	}
	for _, secret := range []string{proxyPassword, proxyKey, "battery-staple"} {
		if strings.Contains(log, secret) {
			t.Errorf("%q stands in the addresses that the proxy saw", secret)
		}
	}
	s.proxied = !t.Failed()
}

// refusals are of the right class, and tell no secret.
func (s *server) refusals(t *testing.T, p *proxy, withPassword, withKey Options) {
	with := func(o Options, change func(*Options)) Options {
		change(&o)
		return o
	}
	at := func(address string) func(*Options) { return func(o *Options) { o.Endpoints = []string{address} } }
	for name, test := range map[string]struct {
		o     Options
		class Class
		says  string
	}{
		"a wrong password":             {with(withPassword, func(o *Options) { o.PasswordFile = fileWith(t, "wrong-horse") }), Human, "status 401"},
		"a wrong key":                  {with(withKey, func(o *Options) { o.APIKeyFile = fileWith(t, "id-1:wrong-staple") }), Human, "status 401"},
		"no password":                  {Options{Endpoints: withPassword.Endpoints, CAFile: p.ca}, Human, "status 401"},
		"an authority that signed not": {with(withKey, func(o *Options) { o.CAFile = p.other }), Human, "certificate"},
		"a name that is not in the certificate": {with(withKey, at(strings.Replace(p.key, "127.0.0.1", "localhost", 1))),
			Human, "certificate"},
		"a proxy that lets nobody through": {with(withKey, at(p.busy)), Wait, "status 429"},
		"a proxy with nobody behind":       {with(withKey, at(p.empty)), Retry, "status 502"},
		"TLS to a server without":          {with(withKey, at(strings.Replace(s.made.Nodes[0].URL, "http:", "https:", 1))), Human, "HTTPS client"},
		"no TLS to a server with":          {with(withKey, at(strings.Replace(p.key, "https:", "http:", 1))), Human, "status 400"},
	} {
		_, err := dial(t, test.o).Observe(t.Context())
		if err == nil || ClassOf(err) != test.class || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %s: %v", name, ClassOf(err), err)
		}
		for _, secret := range []string{"horse", "staple", proxyUser} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s tells %q: %v", name, secret, err)
			}
		}
	}
	few := dial(t, with(withKey, at(p.few)))
	first := few.Call(t.Context(), "GET", "/_cluster/health", nil, nil, nil)
	second := few.Call(t.Context(), "GET", "/_cluster/health", nil, nil, nil)
	var refused *ServerError
	if first != nil || ClassOf(second) != Wait || !errors.As(second, &refused) || refused.Status != http.StatusTooManyRequests {
		t.Errorf("the second call within a limit: %v, %v", first, second)
	}
}

// goesOn kills one of two proxies while a client uses it.
func (s *server) goesOn(t *testing.T, p *proxy, o Options) {
	other := startProxy(t, s.made.Nodes[1].URL)
	pool := bytes.Join([][]byte{[]byte(p.log(t, "ca.pem")), []byte(other.log(t, "ca.pem"))}, nil)
	o.CAFile, o.Endpoints = fileWith(t, string(pool)), []string{p.empty, other.password, p.password}
	c := dial(t, o)
	if _, err := c.About(t.Context()); err != nil {
		t.Error(err)
	}
	other.stop()
	if _, err := c.Observe(t.Context()); err != nil {
		t.Errorf("with one of the proxies killed: %v", err)
	}
	o.Endpoints = []string{other.password, p.password}
	if err := dial(t, o).Call(t.Context(), "PUT", "/through-2", nil, map[string]any{}, nil); err != nil {
		t.Errorf("a change, where nobody listens at the first: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Call(ctx, "GET", "/", nil, nil, nil); ClassOf(err) != Human {
		t.Errorf("cancelled: %s, %v", ClassOf(err), err)
	}
}
