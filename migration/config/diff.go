package config

import (
	"github.com/aymanbagabas/go-udiff"
)

// Diff is the unified diff of two versions of a file, for people: secrets are masked, so one that alone was changed is not
// seen. It is empty where nothing differs.
func Diff(before, after *File) string {
	return udiff.Unified(before.name, after.name, before.shown(), after.shown())
}

// Named is the file under another name, for errors and diffs.
func (f *File) Named(name string) *File {
	renamed := *f
	renamed.name = name
	return &renamed
}
