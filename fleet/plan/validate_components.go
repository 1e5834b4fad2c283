package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// components checks the parts of the upstream kinds.
func (f *findings) components() {
	parts := f.spec.Kubernetes.ComponentConfigs
	if parts == nil {
		parts = &v1alpha1.ComponentConfigs{}
	}
	const path = "spec.kubernetes.componentConfigs."
	f.component(path+"kubelet", kindKubelet, parts.Kubelet)
	f.component(path+"kubeProxy", kindKubeProxy, parts.KubeProxy)
	if cluster := f.component(path+"clusterConfiguration", kindCluster, parts.ClusterConfiguration); cluster != nil {
		f.flags(path+"clusterConfiguration.apiServer", "kube-apiserver", cluster["apiServer"])
		f.flags(path+"clusterConfiguration.controllerManager", "kube-controller-manager", cluster["controllerManager"])
		f.flags(path+"clusterConfiguration.scheduler", "kube-scheduler", cluster["scheduler"])
	}
}

// component checks one part and returns it decoded; nil when there is nothing to look at further.
func (f *findings) component(path, kind string, raw *runtime.RawExtension) map[string]any {
	if raw == nil || len(raw.Raw) == 0 {
		return nil
	}
	if len(raw.Raw) > maxPartBytes {
		f.add(path, "is %d bytes long; the limit is %d", len(raw.Raw), maxPartBytes)
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw.Raw))
	part, ok := value.(map[string]any)
	if err != nil || !ok {
		f.add(path, "is not an object")
		return nil
	}
	withoutNulls(part)
	before := len(f.list)
	f.owned(path, "", kind, part)
	schema, known := f.facts.Schemas[kind]
	if known {
		f.schema(path, kind, schema, part)
	}
	if len(f.list) > before {
		f.list = append(f.list[:before], compact(f.list[before:])...)
	}
	return part
}

// withoutNulls takes out what a part removes from the defaults: there is nothing left to check.
func withoutNulls(o map[string]any) {
	for k, v := range o {
		switch below := v.(type) {
		case nil:
			delete(o, k)
		case map[string]any:
			withoutNulls(below)
		}
	}
}

// owned refuses settings that Slipway sets itself.
func (f *findings) owned(path, prefix, kind string, part map[string]any) {
	for _, key := range sortedKeys(part) {
		at := strings.TrimPrefix(prefix+"."+key, ".")
		if owned, ok := ownedSetting(kind, at); ok {
			f.add(path+"."+at, "is set by Slipway; %s", owned.Instead)
			continue
		}
		if below, ok := part[key].(map[string]any); ok {
			f.owned(path, at, kind, below)
		}
	}
}

// schema checks a part against the JSON schema of its kind.
func (f *findings) schema(path, kindName string, document json.RawMessage, part map[string]any) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		f.add(path, "cannot be checked: the bundle's schema of %s is damaged: %v", kindName, err)
		return
	}
	const url = "bundle:///schema.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(url, doc); err != nil {
		f.add(path, "cannot be checked: the bundle's schema of %s is damaged: %v", kindName, err)
		return
	}
	schema, err := compiler.Compile(url)
	if err != nil {
		f.add(path, "cannot be checked: the bundle's schema of %s is damaged: %v", kindName, err)
		return
	}
	var failure *jsonschema.ValidationError
	if err := schema.Validate(part); errors.As(err, &failure) {
		f.failures(path, doc, failure)
	}
}

// failures walks to the leaves of a validation error.
func (f *findings) failures(path string, doc any, failure *jsonschema.ValidationError) {
	if len(failure.Causes) > 0 {
		for _, cause := range failure.Causes {
			f.failures(path, doc, cause)
		}
		return
	}
	at := path + location(failure.InstanceLocation)
	if unknown, ok := failure.ErrorKind.(*kind.AdditionalProperties); ok {
		fields := propertiesAt(doc, failure.InstanceLocation)
		for _, name := range unknown.Properties {
			f.add(at+"."+name, "is unknown%s; fields here are %s", didYouMean(name, fields), list(nearestFirst(name, fields)))
		}
		return
	}
	f.add(at, "%s", failure.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
}

// location writes an instance location as a path: .a[0].b
func location(at []string) string {
	var b strings.Builder
	for _, part := range at {
		if _, err := strconv.Atoi(part); err == nil {
			fmt.Fprintf(&b, "[%s]", part)
			continue
		}
		b.WriteString("." + part)
	}
	return b.String()
}

// propertiesAt lists the fields that a schema (without references) knows at a place of an instance.
func propertiesAt(doc any, at []string) []string {
	node, _ := doc.(map[string]any)
	for _, part := range at {
		if properties, ok := node["properties"].(map[string]any); ok && properties[part] != nil {
			node, _ = properties[part].(map[string]any)
			continue
		}
		if items, ok := node["items"].(map[string]any); ok {
			node = items
			continue
		}
		node, _ = node["additionalProperties"].(map[string]any)
	}
	properties, _ := node["properties"].(map[string]any)
	return sortedKeys(properties)
}

// flags checks the extraArgs of one component of the control plane.
func (f *findings) flags(path, component string, value any) {
	settings, _ := value.(map[string]any)
	args, _ := settings["extraArgs"].([]any)
	for i, arg := range args {
		pair, _ := arg.(map[string]any)
		name, _ := pair["name"].(string)
		at := fmt.Sprintf("%s.extraArgs[%d].name", path, i)
		switch {
		case name == "":
			f.add(at, "is missing")
		case strings.HasPrefix(name, "-"):
			f.add(at, "%q begins with a dash; write %q", name, strings.TrimLeft(name, "-"))
		case slices.Contains(ownedFlags()[component], name):
			f.add(at, "--%s of %s is set by Slipway; leave it out", name, component)
		default:
			f.flag(at, component, name)
		}
	}
}

func (f *findings) flag(path, component, name string) {
	flags, known := f.facts.Flags[component]
	if !known || slices.ContainsFunc(flags, func(flag Flag) bool { return flag.Name == name }) {
		return
	}
	names := make([]string, 0, len(flags))
	for _, flag := range flags {
		names = append(names, flag.Name)
	}
	f.add(path, "%s %s has no flag --%s%s", component, f.spec.Kubernetes.Version, name, didYouMean(name, names))
}

// compact leaves one finding for each path.
func compact(in []Finding) []Finding {
	seen := map[string]bool{}
	return slices.DeleteFunc(in, func(f Finding) bool {
		if seen[f.Path] {
			return true
		}
		seen[f.Path] = true
		return false
	})
}
