package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// outputFlag adds -o, which takes the allowed formats and no others; empty is the table for people.
func outputFlag(cmd *cobra.Command, target *string, allowed ...string) {
	value := &choice{target: target, allowed: allowed}
	cmd.Flags().VarP(value, "output", "o", "output format: "+strings.Join(allowed, ", "))
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
}

// printObject prints a value as json or yaml.
func printObject(w io.Writer, format string, value any) error {
	marshal := yaml.Marshal
	if format == "json" {
		marshal = func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
	}
	data, err := marshal(value)
	if err != nil {
		return fmt.Errorf("printing as %s: %w", format, err)
	}
	_, err = fmt.Fprintln(w, strings.TrimRight(string(data), "\n"))
	return err
}

// printKind prints an object or a list of the API as json or yaml, as kubectl does: with its kind, and without managedFields.
func printKind(w io.Writer, format string, obj runtime.Object) error {
	if meta.IsListType(obj) {
		if err := meta.EachListItem(obj, stamp); err != nil {
			return err
		}
	}
	if err := stamp(obj); err != nil {
		return err
	}
	return printObject(w, format, obj)
}

// stamp writes into an object of which kind it is: clients leave that out.
func stamp(o runtime.Object) error {
	gvk, err := apiutil.GVKForObject(o, newScheme())
	if err != nil {
		return fmt.Errorf("finding the kind to print: %w", err)
	}
	o.GetObjectKind().SetGroupVersionKind(gvk)
	if m, err := meta.Accessor(o); err == nil { // a list has no such fields
		m.SetManagedFields(nil)
	}
	return nil
}

// printManifests prints what was or would be created: YAML as it can be given with -f again, JSON as a List.
func printManifests(w io.Writer, format string, objects []client.Object) error {
	list := &metav1.List{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}}
	for i, obj := range objects {
		if i > 0 && format == "yaml" {
			fmt.Fprintln(w, "---")
		}
		obj.SetUID("")
		obj.SetResourceVersion("")
		obj.SetGeneration(0)
		obj.SetCreationTimestamp(metav1.Time{})
		if err := stamp(obj); err != nil {
			return err
		}
		list.Items = append(list.Items, runtime.RawExtension{Object: obj})
		if format == "yaml" {
			if err := printObject(w, format, obj); err != nil {
				return err
			}
		}
	}
	if format == "yaml" {
		return nil
	}
	return printObject(w, format, list)
}

// refuseFlags is wrong usage where one of the flags was given.
func refuseFlags(cmd *cobra.Command, why string, names ...string) error {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return &usageError{fmt.Errorf("--%s %s", name, why)}
		}
	}
	return nil
}

// choiceFlag adds a flag that takes one of a few words; the value of target is the default.
func choiceFlag(cmd *cobra.Command, target *string, name, usage string, allowed ...string) {
	cmd.Flags().Var(&choice{target: target, allowed: allowed}, name, usage)
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
}

// choice is the value of a flag that takes one of a few words.
type choice struct {
	target  *string
	allowed []string
}

func (c *choice) String() string {
	if c.target == nil {
		return ""
	}
	return *c.target
}

// Set refuses what is not allowed.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.allowed, word) {
		return fmt.Errorf("use one of %s", strings.Join(c.allowed, ", "))
	}
	*c.target = word
	return nil
}

// Type is the placeholder in the help.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }
