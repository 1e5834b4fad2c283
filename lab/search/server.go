package search

import (
	"fmt"
	"strings"
)

// Product is the name of a search server.
type Product string

// Products.
const (
	Elasticsearch Product = "elasticsearch"
	OpenSearch    Product = "opensearch"
)

// Server is one server that can be started.
type Server struct {
	Product Product
	Version string // as 6.8.23
	SHA256  string // of the zip
	// JavaMin and JavaMax are the major versions of Java that it was seen to start on, or says that it does.
	JavaMin, JavaMax int
}

// Servers are all that can be started, by product and age.
func Servers() []Server {
	return []Server{
		{Elasticsearch, "6.8.23", "d0499f7103d10c16c4cb575a796a509578053f21130979eda5745968f28b9928", 11, 17},
		{Elasticsearch, "7.17.0", "2ba826c7668987a5a47719cfc83cf4a416ef25533396a13f3e0a050f7450b0b5", 11, 17},
		{Elasticsearch, "8.19.0", "14833b2d86c30656901f92049f81fb5777a8e4545413c8656cd1a21b55173033", 17, 21},
		{Elasticsearch, "9.2.0", "bf44938a0490ba2a303d39c9cb64b38963dd08c812ce93e10816e878585bcb6b", 21, 25},
		{OpenSearch, "1.3.20", "031e0cdcd14c7a5b9907dff8050fff76c7c2892c7313ea83c4a0bfbaae9265e3", 11, 17},
		{OpenSearch, "2.19.0", "84b8d1a06a31b57993cfe2801cbf01bdbc54fe07b45aee5cb2ba87917a01c751", 11, 21},
		{OpenSearch, "3.3.0", "c3a6bf825ea05b8d9fe3758dad70ed198cf9c365700895165d310a0a9e7f48a5", 21, 25},
	}
}

// Find is the server of a product whose version is, or begins with, the one named.
func Find(product Product, version string) (Server, error) {
	var known []string
	for _, s := range Servers() {
		if s.Product == product && (s.Version == version || strings.HasPrefix(s.Version, version+".")) {
			return s, nil
		}
		known = append(known, string(s.Product)+" "+s.Version)
	}
	return Server{}, fmt.Errorf("there is no %s %s to practise on; there are %s", product, version, strings.Join(known, ", "))
}

// String is as opensearch 2.19.0.
func (s Server) String() string { return string(s.Product) + " " + s.Version }

// Artifact is what Maven calls it.
func (s Server) Artifact() string {
	group := map[Product]string{Elasticsearch: "org.elasticsearch", OpenSearch: "org.opensearch"}[s.Product]
	return fmt.Sprintf("%s.distribution.integ-test-zip:%s:%s:zip", group, s.Product, s.Version)
}

// major is the first number of the version.
func (s Server) major() int {
	var n int
	_, _ = fmt.Sscanf(s.Version, "%d.", &n) // the table above holds numbers
	return n
}
