package target

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// ReadCluster reads what there is around a claim, as kubectl get pv,sc,nodes,ns -o yaml and kubectl get pvc -n NAMESPACE -o yaml write it:
// lists, or documents one after the other. Kinds of which there is nothing were not looked at; objects of other kinds are left out.
func ReadCluster(data []byte, w Wanted) (Cluster, error) {
	var c Cluster
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			doc, err = yaml.YAMLToJSON(doc)
		}
		if err == nil {
			err = c.take(doc, w)
		}
		if err != nil {
			return c, fmt.Errorf("reading what is in the cluster: document %d: %w", n, err)
		}
	}
	if c.Namespace == nil && c.Claim == nil && c.Volumes == nil && c.Classes == nil && c.Nodes == nil {
		return c, errors.New("reading what is in the cluster: there is no Namespace, PersistentVolume, PersistentVolumeClaim, StorageClass or Node; " +
			"want what kubectl get pv,sc,nodes,ns -o yaml writes")
	}
	return c, nil
}

// take takes an object or all of a list.
func (c *Cluster) take(doc []byte, w Wanted) error {
	var kind struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Items             []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(doc, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "List", "PersistentVolumeList", "PersistentVolumeClaimList", "StorageClassList", "NodeList", "NamespaceList":
		for i, item := range kind.Items {
			if err := c.take(item, w); err != nil {
				return fmt.Errorf("item %d: %w", i+1, err)
			}
		}
		return nil
	case "Namespace":
		if kind.Name == w.Claim.Namespace {
			c.Namespace = &corev1.Namespace{}
			return json.Unmarshal(doc, c.Namespace)
		}
		return nil
	case "PersistentVolumeClaim":
		if kind.Name == w.Claim.Name && kind.Namespace == w.Claim.Namespace {
			c.Claim = &corev1.PersistentVolumeClaim{}
			return json.Unmarshal(doc, c.Claim)
		}
		return nil
	case "PersistentVolume":
		return another(&c.Volumes, doc)
	case "StorageClass":
		return another(&c.Classes, doc)
	case "Node":
		return another(&c.Nodes, doc)
	}
	return nil
}

func another[T corev1.PersistentVolume | storagev1.StorageClass | corev1.Node](list *[]T, doc []byte) error {
	var one T
	if err := json.Unmarshal(doc, &one); err != nil {
		return err
	}
	*list = append(*list, one)
	return nil
}
