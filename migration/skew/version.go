package skew

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a release of Prometheus; pre-releases count as their release.
type Version struct{ Major, Minor, Patch int }

// ParseVersion reads 2.42, 2.42.0, v2.42.0 and 3.0.0-rc.1.
func ParseVersion(text string) (Version, error) {
	bad := fmt.Errorf("reading version %q: want a release such as 2.42.0", text)
	core, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	core, _, _ = strings.Cut(core, "+")
	parts := strings.Split(core, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return Version{}, bad
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return Version{}, bad
		}
		n[i] = int(v)
	}
	return Version{n[0], n[1], n[2]}, nil
}

// String is the version as releases are named.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// MarshalText writes the version as String does.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	*v = parsed
	return err
}

// Before says that v is older than other.
func (v Version) Before(other Version) bool {
	switch {
	case v.Major != other.Major:
		return v.Major < other.Major
	case v.Minor != other.Minor:
		return v.Minor < other.Minor
	}
	return v.Patch < other.Patch
}

// Hop is one step of a move: a server is stopped and a newer one started on its data.
type Hop struct {
	From Version `json:"from"`
	To   Version `json:"to"`
}

// Known is the newest version whose changes the rules cover.
func Known() Version { return Version{3, 16, 0} }

// lastOf2 is the last release of 2.x. What 3.x writes it can still read, so it is the only way back.
// Source: Prometheus 3.0 migration guide, "TSDB format and downgrade"; the floor is 2.55.
func lastOf2() Version { return Version{2, 55, 1} }

// Hops are the steps from one version to another: two where 3.x is reached from something older than 2.55.
func Hops(from, to Version) ([]Hop, error) {
	switch {
	case from.Major < 2:
		return nil, fmt.Errorf("planning the move from %v: Prometheus 2.0 and later cannot read the storage of 1.x", from)
	case to.Before(from):
		return nil, fmt.Errorf("planning the move from %v to %v: this is a step back; swap them", from, to)
	case to.Major >= 3 && from.Before(Version{2, 55, 0}):
		return []Hop{{from, lastOf2()}, {lastOf2(), to}}, nil
	}
	return []Hop{{from, to}}, nil
}
