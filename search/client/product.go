package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/search/state"
)

// About is what a cluster is.
type About struct {
	Name, UUID string
	Product    state.Product
	// Version is the true one, also where an OpenSearch is told to say 7.10.2 (compatibility.override_main_response_version).
	Version string
	Flavour state.Flavour
	// Modules and Plugins are those of one node; nil where they were not told.
	Modules, Plugins []string
}

// root is GET /.
type root struct {
	ClusterName string `json:"cluster_name"`
	ClusterUUID string `json:"cluster_uuid"`
	Tagline     string `json:"tagline"`
	Version     struct {
		Number       string `json:"number"`
		Distribution string `json:"distribution"`
		BuildFlavor  string `json:"build_flavor"`
	} `json:"version"`
}

// local is GET /_nodes/_local.
type local struct {
	ClusterName string `json:"cluster_name"`
	Nodes       map[string]struct {
		Version     string      `json:"version"`
		BuildFlavor string      `json:"build_flavor"`
		Modules     []extension `json:"modules"`
		Plugins     []extension `json:"plugins"`
	} `json:"nodes"`
}

// extension is a module or plugin; it names the product whose it is by the name of a field.
type extension struct {
	Name          string `json:"name"`
	Elasticsearch string `json:"elasticsearch_version"`
	OpenSearch    string `json:"opensearch_version"`
}

// About asks what the cluster is; it may be upgraded meanwhile. GET / is missing in some builds (405 on the zips of Elasticsearch 8 and 9) and lies in others;
// the node that answers knows better. Either of the two is enough.
func (c *Client) About(ctx context.Context) (*About, error) {
	var r root
	header, rootErr := c.read(ctx, "/", nil, into(&r))
	if rootErr != nil && !tells(rootErr) {
		return nil, rootErr
	}
	var l local
	_, localErr := c.read(ctx, "/_nodes/_local", url.Values{"filter_path": {"cluster_name,nodes.*.version,nodes.*.build_flavor," +
		"nodes.*.modules.name,nodes.*.modules.*_version,nodes.*.plugins.name,nodes.*.plugins.*_version"}}, into(&l))
	if localErr != nil && (rootErr != nil || !tells(localErr)) {
		return nil, errors.Join(localErr, rootErr)
	}
	about, err := judge(r, l, header.Get("X-Elastic-Product"))
	if err != nil {
		return nil, fmt.Errorf("finding out what answers at %s: %w", c.endpoints[c.endpoint()].Host, err)
	}
	if about.UUID == "" {
		about.UUID = c.uuid(ctx)
	}
	return about, nil
}

// tells says that an error is the server's own no to this question: another may be answered.
func tells(err error) bool {
	var server *ServerError
	return errors.As(err, &server) && server.Class() == Human && server.Status != 401
}

// uuid asks for the cluster's UUID where GET / is missing; the version of the cluster state is the smallest part of it.
func (c *Client) uuid(ctx context.Context) string {
	var got struct {
		UUID string `json:"cluster_uuid"`
	}
	if _, err := c.read(ctx, "/_cluster/state/version", url.Values{"filter_path": {"cluster_uuid"}}, into(&got)); err != nil {
		return "" // it is missing in what is told, and nothing depends on it
	}
	return got.UUID
}

// product is what the root says; neither, where it says nothing.
func (r root) product(elasticHeader string) (isElastic, isOpenSearch bool) {
	isOpenSearch = r.Version.Distribution == "opensearch" || strings.Contains(r.Tagline, "OpenSearch")
	isElastic = elasticHeader == "Elasticsearch" || strings.Contains(r.Tagline, "You Know, for Search") && r.Version.Distribution == ""
	return isElastic, isOpenSearch
}

// judge finds product and version; pure.
func judge(r root, l local, elasticHeader string) (*About, error) {
	a := &About{Name: r.ClusterName, UUID: r.ClusterUUID, Version: r.Version.Number}
	if a.Name == "" {
		a.Name = l.ClusterName
	}
	flavour := r.Version.BuildFlavor
	isElastic, isOpenSearch := r.product(elasticHeader)
	for _, n := range l.Nodes { // it is one
		a.Version = n.Version
		if n.BuildFlavor != "" {
			flavour = n.BuildFlavor
		}
		a.Modules, a.Plugins = names(n.Modules), names(n.Plugins)
		for _, e := range slices.Concat(n.Modules, n.Plugins) {
			isOpenSearch = isOpenSearch || e.OpenSearch != ""
			isElastic = isElastic || e.Elasticsearch != ""
		}
	}
	switch {
	case a.Version == "" || !isOpenSearch && !isElastic:
		return nil, errors.New("it is neither Elasticsearch nor OpenSearch, or does not say so to this user; is the address right, with its path?")
	case isOpenSearch:
		a.Product, a.Flavour = state.OpenSearch, state.FlavourOpenSearch
	default:
		a.Product, a.Flavour = state.Elasticsearch, elasticFlavour(flavour)
	}
	if _, err := parseVersion(a.Version); err != nil {
		return nil, err
	}
	return a, nil
}

func elasticFlavour(text string) state.Flavour {
	switch text {
	case "default", "oss":
		return state.Flavour(text)
	}
	return state.FlavourUnknown
}

func names(list []extension) []string {
	all := make([]string, 0, len(list))
	for _, e := range list {
		all = append(all, e.Name)
	}
	slices.Sort(all)
	return all
}

// version is major, minor and patch.
type version [3]int

// parseVersion reads 6.8.23 and 3.0.0-beta1.
func parseVersion(text string) (version, error) {
	var v version
	number, _, _ := strings.Cut(text, "-")
	parts := strings.Split(number, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return v, fmt.Errorf("%q is not a version like 7.17.0", clip(text, 40))
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return version{}, fmt.Errorf("%q is not a version like 7.17.0", clip(text, 40))
		}
		v[i] = int(n)
	}
	return v, nil
}

func (v version) atLeast(major, minor int) bool {
	return v[0] > major || v[0] == major && v[1] >= minor
}
