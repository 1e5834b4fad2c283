package bundle

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassifyLicence(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"Apache with line breaks": {text: "                                 Apache License\n                           Version 2.0, January 2004", want: []string{"Apache-2.0"}},
		"MIT":                     {text: "Permission is hereby granted, free of charge, to any person\nobtaining a copy of this software", want: []string{"MIT"}},
		"three clauses":           {text: "Redistribution and use in source and binary forms ... Neither the name of Google", want: []string{"BSD-3-Clause"}},
		"two clauses":             {text: "Redistribution and use in source and binary forms, with or without modification, are permitted", want: []string{"BSD-2-Clause"}},
		"two licences in a file":  {text: "Apache License Version 2.0 ... Permission is hereby granted, free of charge, to any person obtaining a copy", want: []string{"Apache-2.0", "MIT"}},
		"unknown":                 {text: "All rights reserved."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, classifyLicence(test.text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDetectLicence(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"joins the licences of all files":      {files: map[string]string{"LICENSE": "Mozilla Public License, version 2.0", "LICENSE.MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy"}, want: "MIT AND MPL-2.0"},
		"takes no licence from a notice":       {files: map[string]string{"NOTICE": "Apache License Version 2.0"}, want: noAssertion},
		"asserts nothing where there is none":  {want: noAssertion},
		"asserts nothing about an unknown one": {files: map[string]string{"LICENSE": "ask me"}, want: noAssertion},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := detectLicence(dir); err != nil || got != test.want {
				t.Errorf("got %q %v, want %q", got, err, test.want)
			}
		})
	}
}
