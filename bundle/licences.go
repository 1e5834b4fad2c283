package bundle

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

const (
	contentLicences   = "licences"
	licencesDirectory = "usr/local/share/doc/slipway/licences"
	noAssertion       = "NOASSERTION"
	standardLibrary   = "std"
)

// licencesContent collects the licence files of every module that is linked into a program of the
// bundle, and lists the programs with their modules for the manifest.
func (b *Builder) licencesContent(ctx context.Context) (Content, *entry, []Component, error) {
	inputs := []any{"licences/2"}
	for _, name := range b.recipe.shippedTools() {
		e, err := b.toolEntry(ctx, name)
		if err != nil {
			return Content{}, nil, nil, err
		}
		inputs = append(inputs, name, e.Files[name].SHA256)
	}
	key, err := contentKey(inputs)
	if err != nil {
		return Content{}, nil, nil, err
	}
	texts, err := b.step(ctx, key, "collecting licences", func(ctx context.Context, dir string) (any, error) {
		return b.collectLicences(ctx, dir)
	})
	if err != nil {
		return Content{}, nil, nil, err
	}
	var components []Component
	if err := json.Unmarshal(texts.Note, &components); err != nil {
		return Content{}, nil, nil, fmt.Errorf("reading cache entry of the licences: %w", err)
	}
	var sources []source
	for _, name := range slices.Sorted(maps.Keys(texts.Files)) {
		sources = append(sources, texts.source(name, path.Join(licencesDirectory, filepath.ToSlash(name)), 0o644))
	}
	content, blob, err := b.roleArchive(ctx, contentLicences, KindFiles, sources)
	return content, blob, components, err
}

func (b *Builder) addLicences(ctx context.Context, a *assembly) error {
	content, blob, components, err := b.licencesContent(ctx)
	if err != nil {
		return err
	}
	a.add(content, blob)
	a.manifest.Components = components
	return nil
}

// shippedTools are the programs of the recipe that end up in a bundle.
func (r *recipe) shippedTools() []string {
	return slices.DeleteFunc(r.toolNames(), func(name string) bool { return name == r.Describe.Program })
}

// collectLicences copies licence files to dir/<module>@<version>/ and returns the components.
func (b *Builder) collectLicences(ctx context.Context, dir string) ([]Component, error) {
	var components []Component
	for _, name := range b.recipe.shippedTools() {
		m, t, err := b.recipe.tool(name)
		if err != nil {
			return nil, err
		}
		component := Component{Name: name, Version: t.version(m), Module: m.Module, Licence: "Apache-2.0"}
		if t.Language != languageOwn {
			main := module.Version{Path: m.Module, Version: m.Version}
			if component.Licence, err = b.moduleLicence(ctx, m, main, dir); err != nil {
				return nil, err
			}
		}
		if component.Dependencies, err = b.dependencies(ctx, m, t, dir); err != nil {
			return nil, fmt.Errorf("collecting licences of %s: %w", name, err)
		}
		components = append(components, component)
	}
	return components, nil
}

func (b *Builder) dependencies(ctx context.Context, m recipeModule, t recipeTool, dir string) ([]Dependency, error) {
	list, err := systemDependencies(ctx, m, t, dir)
	if err != nil || t.Language == languageC {
		return list, err
	}
	e, err := b.toolEntry(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(e.path(t.Name))
	if err != nil {
		return nil, fmt.Errorf("reading build information: %w", err)
	}
	std, err := b.standardLicence(ctx, info.GoVersion, dir)
	if err != nil {
		return nil, err
	}
	list = append(list, std)
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		licence, err := b.moduleLicence(ctx, m, module.Version{Path: dep.Path, Version: dep.Version}, dir)
		if err != nil {
			return nil, err
		}
		list = append(list, Dependency{Module: dep.Path, Version: dep.Version, Licence: licence})
	}
	return list, nil
}

// systemDependencies are the distribution's libraries that are linked in.
func systemDependencies(ctx context.Context, m recipeModule, t recipeTool, dir string) ([]Dependency, error) {
	var list []Dependency
	for _, s := range m.System {
		// A module without cgo links them into its programs in C alone.
		if t.Language != languageC && !m.CGO {
			continue
		}
		version, err := systemVersion(ctx, s.Package)
		if err != nil {
			return nil, err
		}
		list = append(list, Dependency{Module: s.Name, Version: version, Licence: s.Licence})
		if err := copyFile(filepath.Join("/usr/share/doc", s.Package, "copyright"), filepath.Join(dir, s.Name+"@"+version, "copyright")); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (b *Builder) standardLicence(ctx context.Context, version, dir string) (Dependency, error) {
	root, err := b.run(ctx, "/", []string{"GOWORK=off"}, b.goTool, "env", "GOROOT")
	if err != nil {
		return Dependency{}, err
	}
	target := filepath.Join(dir, standardLibrary+"@"+version, "LICENSE")
	if err := copyFile(filepath.Join(strings.TrimSpace(string(root)), "LICENSE"), target); err != nil {
		return Dependency{}, err
	}
	return Dependency{Module: standardLibrary, Version: version, Licence: "BSD-3-Clause"}, nil
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|unlicense|patents)([.-].*)?$`)

// moduleLicence copies the licence files of a module and names the licence.
func (b *Builder) moduleLicence(ctx context.Context, m recipeModule, v module.Version, dir string) (string, error) {
	target := filepath.Join(dir, filepath.FromSlash(v.Path)+"@"+v.Version)
	if _, err := os.Stat(target); err != nil {
		from, err := b.modulePath(ctx, m, v)
		if err != nil {
			return "", err
		}
		if err := copyLicences(from, target); err != nil {
			return "", fmt.Errorf("copying licences of %s: %w", v, err)
		}
	}
	return detectLicence(target)
}

// modulePath is where the go command keeps the module; it is there, or is downloaded again.
func (b *Builder) modulePath(ctx context.Context, m recipeModule, v module.Version) (string, error) {
	out, err := b.run(ctx, "/", []string{"GOWORK=off"}, b.goTool, "env", "GOMODCACHE")
	if err != nil {
		return "", err
	}
	escapedPath, err := module.EscapePath(v.Path)
	if err != nil {
		return "", fmt.Errorf("locating module: %w", err)
	}
	escapedVersion, err := module.EscapeVersion(v.Version)
	if err != nil {
		return "", fmt.Errorf("locating module: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(escapedPath)+"@"+escapedVersion)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	var in compileInputs
	if err := b.moduleText(m, &in); err != nil {
		return "", err
	}
	scratch, err := b.scratch(m, in)
	if err != nil {
		return "", err
	}
	if _, err := b.run(ctx, scratch, goEnvironment(false), b.goTool, "mod", "download", v.Path); err != nil {
		return "", err
	}
	return dir, nil
}

func copyLicences(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// detectLicence names the licences of the files in a directory by SPDX identifier.
func detectLicence(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("detecting licence: %w", err)
	}
	var found []string
	for _, e := range entries {
		lower := strings.ToLower(e.Name())
		if strings.HasPrefix(lower, "notice") || strings.HasPrefix(lower, "patents") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", fmt.Errorf("detecting licence: %w", err)
		}
		found = append(found, classifyLicence(string(data))...)
	}
	slices.Sort(found)
	if found = slices.Compact(found); len(found) == 0 {
		return noAssertion, nil
	}
	return strings.Join(found, " AND "), nil
}

// classifyLicence finds the licences whose characteristic sentences stand in a text.
func classifyLicence(text string) []string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	has := func(phrase string) bool { return strings.Contains(text, phrase) }
	var found []string
	add := func(id string, is bool) {
		if is {
			found = append(found, id)
		}
	}
	redistribution := has("redistribution and use in source and binary forms")
	endorse := has("neither the name") || has("may not be used to endorse") || has("without specific prior written permission")
	add("Apache-2.0", has("apache license") && has("version 2.0") || has("apache.org/licenses/license-2.0"))
	add("BSD-2-Clause", redistribution && !endorse)
	add("BSD-3-Clause", redistribution && endorse)
	add("ISC", has("permission to use, copy, modify, and/or distribute this software") || has("permission to use, copy, modify, and distribute this software for any purpose with or without fee"))
	add("MIT", has("permission is hereby granted, free of charge, to any person obtaining a copy"))
	add("MPL-2.0", has("mozilla public license") && has("2.0"))
	add("Unlicense", has("this is free and unencumbered software released into the public domain"))
	add("CC0-1.0", has("cc0 1.0 universal"))
	return found
}
