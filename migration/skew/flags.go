package skew

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Flags are the command line of a server. A nil *Flags is a command line that nobody knows.
type Flags struct {
	values map[string][]string
	// all says that flags that nobody gave are there, too, with their defaults: so the server's API tells them.
	all bool
}

// NewFlags reads the arguments of a server: --name=value, --name value, --name, --no-name.
func NewFlags(args []string) *Flags {
	f := &Flags{values: map[string][]string{}}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			continue
		}
		name, value, assigned := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !assigned && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			value = args[i]
		}
		f.values[name] = append(f.values[name], value)
	}
	return f
}

// ReadFlags reads the answer of /api/v1/status/flags, its data alone, or a JSON list of arguments.
func ReadFlags(data []byte) (*Flags, error) {
	if len(data) > defaultMaxBytes {
		return nil, fmt.Errorf("reading flags: %d bytes are more than %d", len(data), defaultMaxBytes)
	}
	var args []string
	if json.Unmarshal(data, &args) == nil && args != nil {
		return NewFlags(args), nil
	}
	var answer struct {
		Status string
		Data   map[string]string
	}
	all := map[string]string{}
	if err := json.Unmarshal(data, &answer); err == nil && answer.Data != nil {
		all = answer.Data
	} else if err := json.Unmarshal(data, &all); err != nil || len(all) == 0 {
		return nil, errors.New("reading flags: want the answer of /api/v1/status/flags or a JSON list of arguments")
	}
	return ToldFlags(all), nil
}

// value is the last value of a flag, empty where there is none.
func (f *Flags) value(name string) string {
	if f == nil || len(f.values[name]) == 0 {
		return ""
	}
	return f.values[name][len(f.values[name])-1]
}

// features are the names given to --enable-feature.
func (f *Flags) features() []string {
	if f == nil {
		return nil
	}
	var names []string
	for _, v := range f.values["enable-feature"] {
		for name := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ' ' || r == '[' || r == ']' }) {
			names = append(names, name)
		}
	}
	return names
}

func (f *Flags) feature(name string) bool { return slices.Contains(f.features(), name) }

// lookback is how far back a query looks for a sample; 5m is the default.
func (f *Flags) lookback() time.Duration {
	if d, err := model.ParseDuration(f.value("query.lookback-delta")); err == nil && d > 0 {
		return time.Duration(d)
	}
	return 5 * time.Minute
}

// removedFlag is a flag that a version no longer knows: it says so and does not start.
type removedFlag struct {
	since Version
	// defaults are the values that the API tells though nobody gave the flag, each from a version on.
	defaults []defaultValue
	now, fix string
}

type defaultValue struct {
	value string
	from  Version
}

// removedFlags are all that went between 2.0.0 and 3.16.0: the names in cmd/prometheus/main.go of each minor release were
// compared. Defaults are from the same files.
func removedFlags() map[string]removedFlag {
	v3 := Version{3, 0, 0}
	return map[string]removedFlag{
		"storage.exemplars.exemplars-limit": {Version{2, 29, 0}, []defaultValue{{"100000", Version{2, 26, 0}}}, "",
			"set storage.exemplars.max_exemplars in the configuration"},
		"alertmanager.timeout": {v3, []defaultValue{{"10s", Version{2, 0, 0}}, {"", Version{2, 25, 0}}}, "",
			"leave it out; it has had no effect since 2.25.0"},
		"scrape.name-escaping-scheme": {v3, []defaultValue{{"values", Version{2, 55, 0}}}, "",
			"leave it out; see the rule utf8-names"},
		"storage.tsdb.allow-overlapping-blocks": {v3, []defaultValue{{"false", Version{2, 0, 0}}, {"true", Version{2, 39, 0}}}, "",
			"leave it out; overlapping blocks have been allowed since 2.39.0"},
		"storage.tsdb.retention": {v3, []defaultValue{{"15d", Version{2, 0, 0}}, {"0s", Version{2, 8, 0}}}, "storage.tsdb.retention.time",
			"storage.tsdb.retention.time has the same meaning (known from 2.7.0 on); without it the default of 15d deletes what is older"},
	}
}

// isDefault says that the API tells this value where nobody gave the flag.
func (r removedFlag) isDefault(value string, from Version) bool {
	is := ""
	for _, d := range r.defaults {
		if !from.Before(d.from) {
			is = d.value
		}
	}
	return value == is
}

func (c *Checker) checkRemovedFlags() {
	flags := c.opts.Flags
	all := removedFlags()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := all[name]
		values, given := flags.values[name]
		if !given {
			values, given = flags.values["no-"+name]
		}
		if !given || flags.all && r.isDefault(flags.value(name), c.opts.From) {
			continue
		}
		f := Finding{
			Rule: ruleRemovedFlag, Severity: Breaks, Since: &r.since, Where: "flag --" + name,
			What: "--" + name + " is not known, and the server does not start", Why: "it was removed in " + r.since.String(),
			Fix: r.fix, Old: strings.TrimSuffix("--"+name+"="+values[len(values)-1], "="),
		}
		switch own := flags.value(r.now); {
		case r.now != "" && (own == "" || own == "0s" || flags.all && own == "15d"): // 15d is what 2.7 tells where nobody gave it
			f.New = "--" + r.now + "=" + values[len(values)-1]
		case r.now != "":
			f.Fix = "leave it out; --" + r.now + "=" + own + " is given and counts"
		}
		c.add(f)
	}
}

// Get is the last value of a flag, and whether it is there: given, or told by the server with its default.
func (f *Flags) Get(name string) (string, bool) {
	if f == nil {
		return "", false
	}
	_, there := f.values[name]
	return f.value(name), there
}

// Names are the flags that are there, sorted.
func (f *Flags) Names() []string {
	if f == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(f.values))
}

// Values are all values of a flag that can be given more than once.
func (f *Flags) Values(name string) []string {
	if f == nil {
		return nil
	}
	return f.values[name]
}

// Features are the names given to --enable-feature.
func (f *Flags) Features() []string { return f.features() }

// ToldFlags are flags as a server tells them: all that there are, with their defaults.
func ToldFlags(all map[string]string) *Flags {
	f := &Flags{values: map[string][]string{}, all: true}
	for name, value := range all {
		f.values[name] = []string{value}
	}
	return f
}
