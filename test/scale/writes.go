package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func since(version string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: version}
}

// write is one kind of request that changes something.
type write struct{ verb, resource, code string }

// writes counts requests as the API server does.
type writes map[write]int

// counted are the resources that the operator writes. Leases and the objects of other controllers are not among them.
var counted = []string{"clusterdeployments", "clusters", "machinesets", "machines", "operations", "secrets", "events", "configmaps", "namespaces"}

// Verbs of requests as the API server counts them. Watches are not among them: they are opened once.
var (
	writing = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}
	calling = append([]string{"GET", "LIST"}, writing...)
)

// readRequests reads the counters of the API server for these verbs.
func readRequests(ctx context.Context, config *rest.Config, verbs []string) (writes, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the API server: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of the API server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return nil, fmt.Errorf("reading the metrics of the API server: %s: %s", response.Status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of the API server: %w", err)
	}
	out := writes{}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		verb, resource := label(m, "verb"), label(m, "resource")
		if !slices.Contains(verbs, verb) || !slices.Contains(counted, resource) {
			continue
		}
		if sub := label(m, "subresource"); sub != "" {
			resource += "/" + sub
		}
		out[write{verb, resource, label(m, "code")}] += int(m.GetCounter().GetValue())
	}
	return out, nil
}

func (w writes) since(before writes) writes {
	out := writes{}
	for k, n := range w {
		if d := n - before[k]; d > 0 {
			out[k] = d
		}
	}
	return out
}

// subtract takes away requests of the measurement itself.
func (w writes) subtract(verb, resource string, n int) {
	for k := range w {
		if k.verb == verb && k.resource == resource && strings.HasPrefix(k.code, "2") {
			w[k] -= n
		}
	}
}

func (w writes) total() int {
	sum := 0
	for _, n := range w {
		sum += n
	}
	return sum
}

func (w writes) conflicts() int {
	sum := 0
	for k, n := range w {
		if k.code == "409" {
			sum += n
		}
	}
	return sum
}

// byKind adds the codes up.
func (w writes) byKind() ([]write, map[write]int) {
	sums := map[write]int{}
	for k, n := range w {
		if n != 0 {
			sums[write{verb: k.verb, resource: k.resource}] += n
		}
	}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b write) int {
		if c := strings.Compare(a.resource, b.resource); c != 0 {
			return c
		}
		return strings.Compare(a.verb, b.verb)
	})
	return keys, sums
}
