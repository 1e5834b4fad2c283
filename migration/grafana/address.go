package grafana

import (
	"cmp"
	"net/netip"
	"net/url"
	"strings"

	"github.com/slipway-dev/slipway/migration/server"
)

// leads says where an address leads, as far as it can be told without a name server.
type address struct{ host, port, path string }

func readAddress(text string) (address, bool) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Hostname() == "" {
		return address{}, false
	}
	port := cmp.Or(u.Port(), map[string]string{"https": "443"}[u.Scheme], "80")
	return address{strings.ToLower(u.Hostname()), port, strings.TrimRight(u.Path, "/")}, true
}

// loopback says that an address means the host on which it is used.
func (a address) loopback() bool {
	ip, err := netip.ParseAddr(a.host)
	return a.host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// meansSource says that a data source of the old Grafana asks the old server, which runs on the same host.
func meansSource(text, source string) bool {
	a, ok := readAddress(text)
	b, known := readAddress(source)
	return ok && known && a.port == b.port && a.path == b.path && (a.host == b.host || a.loopback())
}

func sameAddress(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }

// shownAddress is an address without user and password.
func shownAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "an address that cannot be read"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return server.Clip(u.String(), 200)
}
