package block

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/tombstones"
)

// maxTombstones bounds the file, which the library holds in memory several times over.
const maxTombstones = 64 << 20

// tombstoneBody reads the file and checks its sum; nil means that there is none. The format: magic, version, entries, sum.
func tombstoneBody(root *os.Root) ([]byte, error) {
	f, err := openRegular(root, tombstonesFile)
	if d := (*Damage)(nil); errors.As(err, &d) && d.Kind == MissingFile {
		return nil, nil // as the library has it
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTombstones+1))
	switch {
	case err != nil:
		return nil, damaged(Unreadable, tombstonesFile, -1, "%v", err)
	case len(data) > maxTombstones:
		return nil, damaged(DamagedTombstones, tombstonesFile, -1, "larger than %d bytes", maxTombstones)
	case len(data) < 9:
		return nil, damaged(DamagedTombstones, tombstonesFile, -1, "%d bytes long: %v", len(data), errShort)
	case be32(data) != tombstones.MagicTombstone:
		return nil, damaged(DamagedTombstones, tombstonesFile, 0, "begins with %08x, which are no tombstones", be32(data))
	case data[4] != 1:
		return nil, damaged(UnknownVersion, tombstonesFile, 4, "tombstones version %d", data[4])
	}
	body := data[4 : len(data)-4]
	if sum, want := crc32.Checksum(body[1:], castagnoli), be32(data[len(data)-4:]); sum != want {
		return nil, damaged(DamagedTombstones, tombstonesFile, -1, "the sum is %08x, not %08x", sum, want)
	}
	return body, nil
}

// checkTombstones counts the intervals and says whether they make sense. exists is nil when the index is not known.
func checkTombstones(body []byte, exists func(ref uint64) bool) (uint64, error) {
	if body == nil {
		return 0, nil
	}
	var n uint64
	d := encoding.Decbuf{B: body[1:]}
	for d.Len() > 0 {
		off := int64(4 + len(body) - d.Len())
		ref, from, to := d.Uvarint64(), d.Varint64(), d.Varint64()
		if d.Err() != nil {
			return n, damaged(DamagedTombstones, tombstonesFile, off, "%v", d.Err())
		}
		if from > to {
			return n, damaged(DamagedTombstones, tombstonesFile, off, "deletes from %d to %d", from, to)
		}
		if exists != nil && !exists(ref) {
			return n, damaged(DamagedTombstones, tombstonesFile, off, "%s", fmt.Sprintf("deletes from series %d, which does not exist", ref))
		}
		n++
	}
	return n, nil
}
