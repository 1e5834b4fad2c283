package survey

// Need is what the source's data will take on the target's volume, in bytes.
type Need struct {
	BlockBytes int64 `json:"blockBytes"`
	// LargestBlockBytes is estimated: the span of the largest block, at the mean density of all.
	LargestBlockBytes int64 `json:"largestBlockBytes"`
	HeadBytes         int64 `json:"headBytes"`
	// Bytes is what will lie there, Total what must be free for it: with the rewrite of the largest block and a fifth to spare.
	Bytes int64 `json:"bytes"`
	Total int64 `json:"total"`
}

// Need says what the server's data will take on another volume.
func (o *Observation) Need() Need { return o.need() }

// need says what the source's data takes.
func (o *Observation) need() Need {
	s := o.Storage
	n := Need{BlockBytes: s.BlockBytes, HeadBytes: s.WALBytes + s.HeadChunkBytes}
	if span := (s.HeadMin - s.Lowest) / 1000; s.Blocks > 0 && !s.HeadEmpty && span > 0 {
		n.LargestBlockBytes = int64(float64(s.BlockBytes) * min(1, float64(o.Flags.MaxBlockSeconds)/float64(span)))
	}
	n.Bytes = n.BlockBytes + n.HeadBytes
	n.Total = int64(float64(n.Bytes+n.LargestBlockBytes) * 1.2)
	return n
}
