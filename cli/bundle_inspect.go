package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// newBundleInspectCommand builds slipway bundle inspect.
func newBundleInspectCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "inspect BUNDLE",
		Short:   "Show what is in a bundle",
		Long:    "Inspect prints the manifest of a bundle directory or file. It reads no blob; verify does.",
		Example: "  slipway bundle inspect ./bundle-1.36\n  slipway bundle inspect ./bundle-1.36.tar -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := bundle.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			return printBundle(cmd.OutOrStdout(), b, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml or wide (default: a table)")
	return cmd
}

// bundleView is the manifest with the digest that identifies it.
type bundleView struct {
	Digest string `json:"digest"`
	*bundle.Manifest
}

func printBundle(w io.Writer, b *bundle.Bundle, output string) error {
	view := bundleView{Digest: b.Digest(), Manifest: b.Manifest()}
	switch output {
	case "", "wide":
		return printBundleTable(w, view, output == "wide")
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(view)
	case "yaml":
		data, err := yaml.Marshal(view)
		if err != nil {
			return fmt.Errorf("encoding manifest: %w", err)
		}
		_, err = w.Write(data)
		return err
	}
	return fmt.Errorf("output format %q is not one of json, yaml, wide", output)
}

func printBundleTable(w io.Writer, v bundleView, wide bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "Digest\t%s\nKubernetes\t%s\nHosts\t%s/%s, packages of %s\nToolchain\t%s\n\n", v.Digest, v.Kubernetes, v.OS, v.Architecture, v.Distribution, v.Toolchain)
	fmt.Fprint(t, "CONTENT\tKIND\tSIZE\tUNPACKED\tFILES\tDIGEST\n")
	var size, unpacked int64
	for _, c := range v.Contents {
		digest := c.Digest
		if !wide {
			digest = digest[:19]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", c.Name, c.Kind, mebibytes(c.Size), mebibytes(c.UnpackedSize), len(c.Files), digest)
		size, unpacked = size+c.Size, unpacked+c.UnpackedSize
	}
	fmt.Fprintf(t, "total\t\t%s\t%s\t\t\n\n", mebibytes(size), mebibytes(unpacked))
	fmt.Fprint(t, "COMPONENT\tVERSION\tLICENCE\tMODULES\tORIGIN\n")
	for _, c := range v.Components {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", c.Name, c.Version, c.Licence, len(c.Dependencies), c.Module)
	}
	for _, p := range v.Packages {
		fmt.Fprintf(t, "%s\t%s\t\t\t%s\n", p.Name, p.Version, v.Distribution)
	}
	fmt.Fprint(t, "\nIMAGE\tCONTENT\tUSER\n")
	for _, i := range v.Images {
		fmt.Fprintf(t, "%s\t%s\t%s\n", i.Reference, i.Content, i.User)
	}
	fmt.Fprint(t, "\nKIND\tAPI VERSION\n")
	for _, kind := range slices.Sorted(maps.Keys(v.Schemas)) {
		fmt.Fprintf(t, "%s\t%s\n", kind, v.Schemas[kind].APIVersion)
	}
	return t.Flush()
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
