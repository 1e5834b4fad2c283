package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Prober asks a server once whether it is ready.
type Prober interface {
	Probe(ctx context.Context) Result
}

// HTTP asks a server for its readiness page. Give its Client what it needs of TLS and credentials; redirects are not followed.
type HTTP struct {
	// URL is the page in full.
	URL string
	// Client does not time out by itself; the context of a probe limits it.
	Client *http.Client
	// Through says that the API server's pod proxy stands between: what it refuses by itself says nothing about the server.
	Through bool
}

// ReadyPath is the readiness page of Prometheus below its route prefix (web/web.go: 200 once the write-ahead log is read, 503 before).
const ReadyPath = "/-/ready"

// maxPage is how much of a page is read.
const maxPage = 4 << 10

// NewPodProxy asks a pod through the API server, so that it works from outside the cluster too. The client is one with the credentials
// of the cluster (rest.HTTPClientFor), which need the verb get on pods/proxy; path is below the pod's root, with the server's route prefix.
func NewPodProxy(client *http.Client, apiServer, namespace, pod string, port uint16, path string) (*HTTP, error) {
	u, err := url.Parse(apiServer)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("making a prober: %q is no address of an API server", apiServer)
	}
	u = u.JoinPath("api/v1/namespaces", namespace, "pods", fmt.Sprintf("http:%s:%d", pod, port), "proxy", path)
	return &HTTP{URL: u.String(), Client: client, Through: true}, nil
}

// Probe asks once. The context wants a deadline.
func (h *HTTP) Probe(ctx context.Context) Result {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return Result{NotAllowed, "the address of the probe is wrong"}
	}
	client := *h.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	switch {
	case err == nil:
	case h.Through:
		return Result{NotAllowed, "the API server does not answer: " + reason(err)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Result{Refused, "nobody listens at " + req.URL.Host}
	default:
		return Result{Silent, req.URL.Host + " does not answer: " + reason(err)}
	}
	defer res.Body.Close()
	page, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return Result{Silent, "its readiness page breaks off: " + reason(err)}
	}
	return h.judge(res, string(page))
}

func (h *HTTP) judge(res *http.Response, page string) Result {
	code := res.StatusCode
	says := fmt.Sprintf("its readiness page says %d: %s", code, firstLine(page))
	switch {
	case code >= 200 && code < 300:
		return Result{Ready, "it is ready"}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return Result{NotAllowed, fmt.Sprintf("it may not be asked (%d): %s", code, firstLine(page))}
	case code == http.StatusServiceUnavailable && h.Through && silentPod(page):
		return Result{Silent, says}
	case code == http.StatusServiceUnavailable || code == http.StatusNotFound || code/100 == 3:
		return Result{Refused, says}
	}
	return Result{Silent, says}
}

// silentPod tells a pod that does not answer from one that refuses: the API server says both with one code (apimachinery, util/proxy, and
// net.Dialer's words).
func silentPod(page string) bool {
	return strings.Contains(page, "error trying to reach service") && !strings.Contains(page, "connection refused")
}

// reason is the end of an error without the address, which may be long.
func reason(err error) string {
	var u *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &u):
		return u.Err.Error()
	}
	return err.Error()
}

// firstLine is what a page says in short; of the API server's own answers their message.
func firstLine(page string) string {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(page), &status) == nil && status.Message != "" {
		page = status.Message
	}
	line, _, _ := strings.Cut(strings.TrimSpace(page), "\n")
	if len(line) > 200 {
		line = line[:200]
	}
	return strings.ToValidUTF8(line, "?")
}

// Watch asks a server again and again until the context ends. Every is the pause between the begins of two probes, and how long one may take;
// default 1 second. Each result goes to told, in the caller's goroutine.
func Watch(ctx context.Context, p Prober, every time.Duration, told func(Streak)) {
	if every <= 0 {
		every = time.Second
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var s Streak
	for {
		limited, cancel := context.WithTimeout(ctx, every)
		r := p.Probe(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s = s.Next(r, time.Now())
		told(s)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
