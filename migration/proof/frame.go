package proof

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/slipway-dev/slipway/migration/server"
)

// maxFrame is four times what a server sends by default (--storage.remote.read-max-bytes-in-frame, 1 MiB and a chunk). Decoded, a
// frame made to harm takes some 28 times its size.
const maxFrame = 4 << 20

// frameReader reads the frames of a streamed remote read: length as uvarint, CRC-32C big endian, bytes
// (storage/remote/chunked.go). Memory grows with the bytes that came, not with the length that was claimed.
type frameReader struct {
	r     *bufio.Reader
	buf   bytes.Buffer
	table *crc32.Table
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReader(r), table: crc32.MakeTable(crc32.Castagnoli)}
}

// next returns a frame, which lasts until the next call, or io.EOF after the last whole one.
func (f *frameReader) next() ([]byte, error) {
	if _, err := f.r.Peek(1); err != nil {
		return nil, err // io.EOF between two frames is the end
	}
	size, err := binary.ReadUvarint(f.r)
	if err != nil {
		return nil, cutOff("the length of a frame", err)
	}
	if size > maxFrame {
		return nil, fmt.Errorf("a frame claims %d bytes, the limit is %d: %w", size, maxFrame, server.ErrTooLarge)
	}
	var sum [4]byte
	if _, err := io.ReadFull(f.r, sum[:]); err != nil {
		return nil, cutOff("the sum of a frame", err)
	}
	f.buf.Reset()
	if _, err := io.CopyN(&f.buf, f.r, int64(size)); err != nil {
		return nil, cutOff(fmt.Sprintf("a frame of %d bytes", size), err)
	}
	if crc32.Checksum(f.buf.Bytes(), f.table) != binary.BigEndian.Uint32(sum[:]) {
		return nil, fmt.Errorf("the sum of a frame is wrong: %w", server.ErrBroken)
	}
	return f.buf.Bytes(), nil
}

func cutOff(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ends within %s: %w", what, server.ErrBroken)
	}
	return fmt.Errorf("reading %s: %w", what, err)
}
