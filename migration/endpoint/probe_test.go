package endpoint

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	refusedPod = `{"kind":"Status","message":"error trying to reach service: dial tcp 10.244.1.7:9090: connect: connection refused","code":503}`
	silentPage = `{"kind":"Status","message":"error trying to reach service: dial tcp 10.244.1.7:9090: i/o timeout","code":503}`
)

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name    string
		code    int
		page    string
		through bool
		want    Answer
		says    string
	}{
		{"ready", 200, "Prometheus Server is Ready.\n", false, Ready, "ready"},
		{"reading its write-ahead log", 503, "Service Unavailable", false, Refused, "503: Service Unavailable"},
		{"another server", 404, "404 page not found", false, Refused, "404"},
		{"moved", 302, "", false, Refused, "302"},
		{"something between is broken", 502, "Bad Gateway", false, Silent, "502"},
		{"closed behind the API server", 503, refusedPod, true, Refused, "connection refused"},
		{"silent behind the API server", 503, silentPage, true, Silent, "i/o timeout"},
		{"not allowed by the API server", 403, `{"kind":"Status","message":"pods \"p\" is forbidden"}`, true, NotAllowed, `pods "p" is forbidden`},
		{"not allowed by the server", 401, "Unauthorized", false, NotAllowed, "401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/-/ready")
				w.WriteHeader(c.code)
				fmt.Fprint(w, c.page)
			}))
			defer s.Close()
			got := (&HTTP{URL: s.URL + ReadyPath, Client: s.Client(), Through: c.through}).Probe(t.Context())
			if got.Answer != c.want || !strings.Contains(got.Says, c.says) {
				t.Errorf("got %v, want %s with %q", got, c.want, c.says)
			}
		})
	}
}

func TestProbeOfNobody(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	if got := (&HTTP{URL: s.URL, Client: http.DefaultClient}).Probe(t.Context()); got.Answer != Refused {
		t.Errorf("a closed port: got %v", got)
	}
	if got := (&HTTP{URL: s.URL, Client: http.DefaultClient, Through: true}).Probe(t.Context()); got.Answer != NotAllowed {
		t.Errorf("no API server: got %v", got)
	}
}

func TestPodProxyAsksTheAPIServer(t *testing.T) {
	var asked atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.URL.Path) }))
	defer s.Close()
	p, err := NewPodProxy(s.Client(), s.URL+"/k8s/clusters/c1", "monitoring", "prometheus-ecs-0", 9090, "/prometheus"+ReadyPath)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Probe(t.Context()); got.Answer != Ready {
		t.Fatalf("got %v", got)
	}
	const want = "/k8s/clusters/c1/api/v1/namespaces/monitoring/pods/http:prometheus-ecs-0:9090/proxy/prometheus/-/ready"
	if got := asked.Load(); got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

type proberFunc func(context.Context) Result

func (f proberFunc) Probe(ctx context.Context) Result { return f(ctx) }

func TestWatchAsksEachSecondAndWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begin, n := time.Now(), 0
		probe := proberFunc(func(ctx context.Context) Result {
			if n++; n < 3 {
				return Result{Ready, ""}
			}
			<-ctx.Done()
			return Result{Silent, ""}
		})
		var last Streak
		Watch(ctx, probe, time.Second, func(s Streak) {
			if last = s; s.Down() {
				cancel()
			}
		})
		if took := time.Since(begin); took != 4*time.Second || last.Since.Sub(begin) != 3*time.Second {
			t.Errorf("two silent probes after two good ones took %s, since %s; want 4s, 3s", took, last.Since.Sub(begin))
		}
	})
}

// world is two real servers, of which the target can be closed, silent or not ready, and a client that asks through the Service once a second
// of a clock that the test moves.
type world struct {
	t              *testing.T
	source, target *httptest.Server
	state          atomic.Int32
	now            time.Time
	in             Input
	// failed counts the client's questions without an answer in a row, longest and total.
	row, longest, total int
}

const (
	up = iota
	replaying
	silent
)

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: now}
	ok := func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "ok") }
	w.source = httptest.NewServer(http.HandlerFunc(ok))
	w.target = w.newTarget("127.0.0.1:0")
	t.Cleanup(w.source.Close)
	t.Cleanup(func() { w.target.Close() })
	pod := netip.MustParseAddrPort(w.target.Listener.Addr().String())
	w.in = Input{Phase: "Cutover", Shape: shape(), Source: netip.MustParseAddrPort(w.source.Listener.Addr().String()),
		Target: Pod{Addresses: []netip.Addr{pod.Addr()}, Port: pod.Port(), Ready: true}}
	return w
}

func (w *world) newTarget(address string) *httptest.Server {
	l, err := net.Listen("tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch w.state.Load() {
		case silent:
			<-r.Context().Done()
		case replaying:
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	return s
}

// second is one second: a probe, the client's question, and then the write of what was decided.
func (w *world) second() *Decision {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	patience := 5 * time.Second
	if w.state.Load() == silent {
		patience = 20 * time.Millisecond // nobody answers, however long one waits
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	probe := (&HTTP{URL: w.target.URL + ReadyPath, Client: client}).Probe(ctx)
	w.in.Target.Probes = w.in.Target.Probes.Next(probe, w.now)
	w.ask(client, patience)
	w.in.Now = w.now
	d, err := Decide(w.in)
	if err != nil {
		w.t.Fatal(err)
	}
	w.in.Slice = d.Slice
	return d
}

func (w *world) ask(client *http.Client, patience time.Duration) {
	to := leadsTo(w.in.Slice)
	if !to.IsValid() {
		return
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	ok := (&HTTP{URL: "http://" + to.String() + "/api/v1/query", Client: client}).Probe(ctx).Answer == Ready
	if ok {
		w.row = 0
		return
	}
	w.total++
	w.row++
	w.longest = max(w.longest, w.row)
}

func (w *world) until(want Side) (seconds int) {
	w.t.Helper()
	for seconds = 1; seconds <= 60; seconds++ {
		if w.second().To == want {
			return seconds
		}
	}
	w.t.Fatalf("the Service did not lead to the %s within a minute", want)
	return 0
}

func TestClientNeverWaitsFiveSeconds(t *testing.T) {
	w := newWorld(t)
	w.until(Source)
	w.in.Phase = "Observe"
	w.until(Target)
	address := w.target.Listener.Addr().String()
	for _, fault := range []struct {
		name        string
		break_, fix func()
		most        int
	}{
		{"closed", func() { w.target.Close() }, func() { w.target = w.newTarget(address) }, 1},
		{"replaying", func() { w.state.Store(replaying) }, func() { w.state.Store(up) }, 1},
		{"silent", func() { w.state.Store(silent) }, func() { w.target.CloseClientConnections(); w.state.Store(up) }, 2},
		{"its pod is deleted", func() { w.in.Target.Ending = true }, func() { w.in.Target.Ending = false }, 0},
	} {
		w.longest, w.total = 0, 0
		fault.break_()
		took := w.until(Source)
		for range 30 { // it stays there for as long as the fault lasts
			if d := w.second(); d.To != Source {
				t.Fatalf("%s: the Service went back: %s", fault.name, d.Says)
			}
		}
		fault.fix()
		if back := w.until(Target); fault.name != "its pod is deleted" && back <= 10 {
			t.Errorf("%s: the users went to the target after %d seconds, want more than 10", fault.name, back)
		}
		if w.longest > fault.most || w.total > fault.most || took > 3 {
			t.Errorf("%s: %d questions failed, %d in a row, the way back took %d s; want at most %d", fault.name, w.total, w.longest, took, fault.most)
		}
	}
}
