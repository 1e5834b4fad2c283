package plane

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// fieldManager owns what this package applies.
const fieldManager = "slipway"

// InstallCRDs applies every custom resource definition of the YAML files and waits until their objects can be listed.
func InstallCRDs(ctx context.Context, config *rest.Config, files fs.FS) error {
	definitions, err := readCRDs(files)
	if err != nil {
		return err
	}
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to install custom resource definitions: %w", err)
	}
	for name, data := range definitions {
		force := true
		_, err := client.ApiextensionsV1().CustomResourceDefinitions().Patch(ctx, name, types.ApplyPatchType, data,
			metav1.PatchOptions{FieldManager: fieldManager, Force: &force})
		if err != nil {
			return fmt.Errorf("applying custom resource definition %s: %w", name, err)
		}
	}
	for name := range definitions {
		if err := waitEstablished(ctx, client, name); err != nil {
			return err
		}
	}
	return nil
}

// readCRDs gives the JSON of each definition by name.
func readCRDs(files fs.FS) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &definition); err != nil {
			return fmt.Errorf("decoding %s: %w", path, err)
		}
		if definition.Kind != "CustomResourceDefinition" || definition.Name == "" {
			return fmt.Errorf("decoding %s: it is no CustomResourceDefinition", path)
		}
		if out[definition.Name], err = yaml.YAMLToJSON(data); err != nil {
			return fmt.Errorf("decoding %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading custom resource definitions: %w", err)
	}
	return out, nil
}

// waitEstablished waits until the API server says so and really serves the kind, which comes a moment later.
func waitEstablished(ctx context.Context, client clientset.Interface, name string) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		definition, err := client.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		if !established(definition) {
			return false, nil
		}
		return served(ctx, client, definition)
	})
	if err != nil {
		return fmt.Errorf("waiting until custom resource definition %s is established: %w", name, err)
	}
	return nil
}

func established(definition *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range definition.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

// served lists one object of every served version.
func served(ctx context.Context, client clientset.Interface, definition *apiextensionsv1.CustomResourceDefinition) (bool, error) {
	for _, version := range definition.Spec.Versions {
		if !version.Served {
			continue
		}
		path := "/apis/" + definition.Spec.Group + "/" + version.Name + "/" + definition.Spec.Names.Plural
		_, err := client.ApiextensionsV1().RESTClient().Get().AbsPath(path).Param("limit", "1").DoRaw(ctx)
		if apierrors.IsNotFound(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}
