package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// describeFile is the name of a description in its cache entry.
const describeFile = "description.json"

// description is what the programs of a bundle say of themselves.
type description struct {
	Flags   map[string][]Flag `json:"flags"`
	Schemas map[string]Schema `json:"schemas"`
}

// describe asks the programs for their help, and the recipe's describing program, which is
// compiled in the same graph, for what a help text does not tell.
func (b *Builder) describe(ctx context.Context) (*description, error) {
	inputs := []any{"describe/1", b.recipe.Describe}
	for _, name := range slices.Concat([]string{b.recipe.Describe.Program}, b.recipe.Describe.Flags, b.recipe.Describe.Help) {
		e, err := b.toolEntry(ctx, name)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, name, e.Files[name].SHA256)
	}
	key, err := contentKey(inputs)
	if err != nil {
		return nil, err
	}
	e, err := b.step(ctx, key, "describing flags and configuration kinds", func(ctx context.Context, dir string) (any, error) {
		d, err := b.runDescribe(ctx)
		if err != nil {
			return nil, err
		}
		data, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("encoding description: %w", err)
		}
		return nil, writeFileSync(filepath.Join(dir, describeFile), data, 0o644)
	})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(e.path(describeFile))
	if err != nil {
		return nil, fmt.Errorf("reading description: %w", err)
	}
	d := &description{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("reading description: %w", err)
	}
	return d, nil
}

func (b *Builder) runDescribe(ctx context.Context) (*description, error) {
	program, err := b.Binary(ctx, b.recipe.Describe.Program)
	if err != nil {
		return nil, err
	}
	d := &description{Flags: map[string][]Flag{}}
	for _, component := range append(slices.Clone(b.recipe.Describe.Flags), b.recipe.Describe.Help...) {
		if d.Flags[component], err = b.helpFlags(ctx, component); err != nil {
			return nil, fmt.Errorf("reading flags of %s: %w", component, err)
		}
	}
	for _, component := range b.recipe.Describe.Flags {
		out, err := b.run(ctx, "/", nil, program, "flags", component)
		if err != nil {
			return nil, err
		}
		var described []Flag
		if err := json.Unmarshal(out, &described); err != nil {
			return nil, fmt.Errorf("reading flags of %s: %w", component, err)
		}
		d.Flags[component] = mergeFlags(d.Flags[component], described)
	}
	out, err := b.run(ctx, "/", nil, program, "schemas")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &d.Schemas); err != nil {
		return nil, fmt.Errorf("reading schemas: %w", err)
	}
	return d, nil
}

// helpFlags asks the program that is shipped.
func (b *Builder) helpFlags(ctx context.Context, component string) ([]Flag, error) {
	path, err := b.Binary(ctx, component)
	if err != nil {
		return nil, err
	}
	out, err := b.run(ctx, "/", nil, path, "--help")
	if err != nil {
		return nil, err
	}
	return parseHelp(out)
}

// mergeFlags adds to the flags in a help text what only the describing program can tell: types,
// and flags that are accepted still but hidden because they are deprecated. Other flags of the
// describing program are left out: what it links registers global ones of its own.
func mergeFlags(help, described []Flag) []Flag {
	merged := slices.Clone(help)
	for _, d := range described {
		i := slices.IndexFunc(merged, func(f Flag) bool { return f.Name == d.Name })
		switch {
		case i >= 0:
			merged[i] = d
		case d.Deprecated != "":
			merged = append(merged, d)
		}
	}
	slices.SortFunc(merged, func(a, b Flag) int { return strings.Compare(a.Name, b.Name) })
	return merged
}

var helpFlag = regexp.MustCompile(`^ +(?:-[A-Za-z0-9], )?--([a-z0-9][a-z0-9.-]*)`)

// parseHelp finds the flags in a help text: lines whose first word is a flag.
func parseHelp(help []byte) ([]Flag, error) {
	var flags []Flag
	for line := range bytes.Lines(help) {
		if m := helpFlag.FindSubmatch(line); m != nil {
			flags = append(flags, Flag{Name: string(m[1])})
		}
	}
	if len(flags) == 0 {
		return nil, fmt.Errorf("no flags in the help text")
	}
	slices.SortFunc(flags, func(a, b Flag) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(flags, func(a, b Flag) bool { return a.Name == b.Name }), nil
}

func (b *Builder) addDescription(ctx context.Context, a *assembly) error {
	d, err := b.describe(ctx)
	if err != nil {
		return err
	}
	a.manifest.FlagSets, a.manifest.Schemas = d.Flags, d.Schemas
	return nil
}
