package block

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// CheckClaims refuses a chunk that the library's decoders must not be given: of an unknown encoding, shorter than its own head, or a
// histogram that claims more buckets than its bits can hold, for which they would take memory without a limit.
func CheckClaims(e chunkenc.Encoding, data []byte) error {
	switch {
	case !chunkenc.IsValidEncoding(e):
		return fmt.Errorf("%w: %d", errEncoding, e)
	case len(data) < headLen(e):
		return errShort
	case !isFloat(e) && tooManyBuckets(data[3:]):
		return errors.New("claims more histogram buckets than it has bits")
	}
	return nil
}
