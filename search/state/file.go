package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxFileBytes is the largest recorded state that is read: some 100,000 indices with 1 M shards listed.
const MaxFileBytes = 512 << 20

// Write records a state as JSON, one index a line, so that two of them can be compared.
func Write(w io.Writer, c *Cluster) error {
	out := bufio.NewWriter(w)
	head := *c
	head.Schema = Schema
	head.Indices, head.Shards = nil, nil
	data, err := json.Marshal(&head)
	if err != nil {
		return fmt.Errorf("writing the state of %s: %w", c.Name, err)
	}
	// The schema comes first, so that another program learns it before it meets what it does not know; the two long lists come behind, and no
	// buffer holds them whole.
	fmt.Fprintf(out, "{\"cluster\":%s,\n\"indices\":[", data)
	err = writeLines(out, c.Indices)
	fmt.Fprint(out, "],\n\"shards\":[")
	err = errors.Join(err, writeLines(out, c.Shards))
	fmt.Fprint(out, "]}\n")
	if err = errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("writing the state of %s: %w", c.Name, err)
	}
	return nil
}

func writeLines[T any](out *bufio.Writer, list []T) error {
	for i := range list {
		line, err := json.Marshal(&list[i])
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprint(out, ",")
		}
		fmt.Fprintln(out)
		fmt.Fprintf(out, "%s", line)
	}
	return nil
}

// Read reads a recorded state and checks it: numbers that cannot be, names that occur twice. It reads MaxFileBytes at most.
func Read(r io.Reader) (*Cluster, error) {
	limited := &io.LimitedReader{R: r, N: MaxFileBytes + 1}
	c, err := decode(json.NewDecoder(bufio.NewReaderSize(limited, 1<<16)))
	if limited.N == 0 {
		return nil, fmt.Errorf("reading a recorded state: it is larger than %d MiB", MaxFileBytes>>20)
	}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("reading a recorded state: it ends too early, was it copied whole? (%w)", err)
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("reading a recorded state: %w: is this a state that slipway recorded?", err)
	case err != nil:
		return nil, fmt.Errorf("reading a recorded state: %w", err)
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("reading a recorded state: %w", err)
	}
	return c, nil
}

// decode goes through the object key by key, and through the long lists entry by entry: at 100,000 indices a buffer for all would be the most of the memory.
func decode(dec *json.Decoder) (*Cluster, error) {
	if err := expect(dec, json.Delim('{')); err != nil {
		return nil, err
	}
	var c *Cluster
	var indices []Index
	var shards []ShardGroup
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		switch key {
		case "indices":
			indices, err = readList[Index](dec)
		case "shards":
			shards, err = readList[ShardGroup](dec)
		case "cluster":
			c, err = readHead(dec)
		default:
			err = fmt.Errorf("%q is none of indices, shards, cluster: is this a state that slipway recorded?", key)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errors.New("no cluster is in it: is this a state that slipway recorded?")
	}
	c.Indices, c.Shards = indices, shards
	return c, nil
}

// readHead reads all but the long lists. What another program wrote may have another form: its schema is looked at first.
func readHead(dec *json.Decoder) (*Cluster, error) {
	var data json.RawMessage
	if err := dec.Decode(&data); err != nil {
		return nil, err
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if err := checkSchema(head.Schema); err != nil {
		return nil, err
	}
	c := &Cluster{}
	return c, json.Unmarshal(data, c)
}

func checkSchema(schema int) error {
	switch {
	case schema > Schema:
		return fmt.Errorf("it has schema %d, this program reads %d: a newer slipway recorded it, judge it with that one", schema, Schema)
	case schema < Schema:
		return fmt.Errorf("it has schema %d, this program reads %d: record it again with this program", schema, Schema)
	}
	return nil
}

func expect(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%v stands where %v should: is this a state that slipway recorded?", got, want)
	}
	return nil
}

func readList[T any](dec *json.Decoder) ([]T, error) {
	if err := expect(dec, json.Delim('[')); err != nil {
		return nil, err
	}
	var list []T
	for dec.More() {
		var entry T
		if err := dec.Decode(&entry); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(list)+1, err)
		}
		list = append(list, entry)
	}
	return list, expect(dec, json.Delim(']'))
}

// Bounds of what a real cluster can have; beyond them arithmetic would overflow and nobody would learn anything.
const (
	maxPrimaries = 100_000
	maxReplicas  = 10_000
)

// Check says what in a state cannot be.
func (c *Cluster) Check() error {
	if err := checkSchema(c.Schema); err != nil {
		return err
	}
	if c.TakenAt.IsZero() {
		return errors.New("it does not say when it was taken (takenAt)")
	}
	if c.Product != Elasticsearch && c.Product != OpenSearch {
		return fmt.Errorf("product is %q, not %s or %s", c.Product, Elasticsearch, OpenSearch)
	}
	return errors.Join(c.checkIndices(), c.checkNodes())
}

func (c *Cluster) checkIndices() error {
	indices := make(map[string]bool, len(c.Indices))
	for i := range c.Indices {
		x := &c.Indices[i]
		switch {
		case x.Name == "" || indices[x.Name]:
			return fmt.Errorf("index %q has no name or is there twice", x.Name)
		case x.Primaries < 0 || x.Primaries > maxPrimaries || x.Replicas < 0 || x.Replicas > maxReplicas:
			return fmt.Errorf("index %q has %d primaries and %d replicas", x.Name, x.Primaries, x.Replicas)
		}
		indices[x.Name] = true
	}
	return nil
}

func (c *Cluster) checkNodes() error {
	nodes := make(map[string]bool, len(c.Nodes))
	for i := range c.Nodes {
		if n := c.Nodes[i].Name; n == "" || nodes[n] {
			return fmt.Errorf("node %q has no name or is there twice: shards are told by the names of nodes", n)
		}
		nodes[c.Nodes[i].Name] = true
	}
	return nil
}
