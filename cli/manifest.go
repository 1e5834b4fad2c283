package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// maxManifest is how much of a file or of standard input is read; a thousand machines need less than a megabyte.
const maxManifest = 64 << 20

// errNoObject says that YAML holds something else than an object.
var errNoObject = errors.New("it is no object with apiVersion, kind, metadata and spec")

// document is one document of a YAML stream.
type document struct {
	// number counts from 1, as a person does who looks at the file.
	number int
	text   []byte
	kind   metav1.TypeMeta
}

// readFile reads a file, or standard input where the name is -.
func readFile(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("reading the file: %w", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > maxManifest {
		return nil, fmt.Errorf("%s has more than %d MiB: divide it", name, maxManifest>>20)
	}
	return text, nil
}

// documents splits a YAML stream and drops what holds comments alone.
func documents(text []byte) ([]document, error) {
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var list []document
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if isBlank(doc) {
			continue
		}
		d := document{number: n, text: doc}
		if d.kind, err = kindOf(doc); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		list = append(list, d)
	}
}

// kindOf is what a document says that it is.
func kindOf(doc []byte) (metav1.TypeMeta, error) {
	var value any
	if err := sigsyaml.Unmarshal(doc, &value); err != nil {
		return metav1.TypeMeta{}, err
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return metav1.TypeMeta{}, errNoObject
	}
	version, _ := fields["apiVersion"].(string) // what is not there or no text is empty, and told by who asks for the kind
	kind, _ := fields["kind"].(string)
	if kind == "" {
		return metav1.TypeMeta{}, errors.New("it has no kind")
	}
	return metav1.TypeMeta{APIVersion: version, Kind: kind}, nil
}

// decodeStrict reads a document into an object. Fields that are unknown or there twice are errors with their paths.
func decodeStrict(doc []byte, into runtime.Object) error {
	scheme := newScheme()
	s := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	_, _, err := s.Decode(doc, nil, into)
	strict, ok := runtime.AsStrictDecodingError(err)
	if !ok {
		return err
	}
	var words []string
	for _, e := range strict.Errors() {
		words = append(words, e.Error())
	}
	return errors.New(strings.Join(words, "; "))
}

// isBlank says whether a document holds comments alone.
func isBlank(doc []byte) bool {
	for line := range bytes.SplitSeq(doc, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}
