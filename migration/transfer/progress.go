package transfer

import (
	"context"
	"time"
)

// Progress is how far a pull is.
type Progress struct {
	Blocks         int        `json:"blocks"`     // wanted
	BlocksDone     int        `json:"blocksDone"` // staged or installed
	BytesDone      int64      `json:"bytesDone"`  // arrived, of BytesTotal
	BytesTotal     int64      `json:"bytesTotal"` // of the blocks that were missing
	BytesVerified  int64      `json:"bytesVerified"`
	BytesPerSecond int64      `json:"bytesPerSecond"`
	ETASeconds     int64      `json:"etaSeconds"` // -1: nobody can say
	LimitedBy      LimitCause `json:"limitedBy"`
	Signals        *Signals   `json:"signals,omitempty"` // of the source's host
	SourceDisk     *Disk      `json:"sourceDisk,omitempty"`
}

// report tells the progress every second until the context is done, and closes what it returns.
func (p *pull) report(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	if p.o.Progress == nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		var source *SourceStatus
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				if n%5 == 0 {
					source = p.sourceStatus(ctx)
				}
				p.o.Progress(p.progress(now, source))
			}
		}
	}()
	return done
}

// sourceStatus asks shortly; a source that does not answer has no status.
func (p *pull) sourceStatus(ctx context.Context) *SourceStatus {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := p.o.Source.Status(ctx)
	if err != nil {
		return nil
	}
	return s
}

func (p *pull) progress(now time.Time, source *SourceStatus) Progress {
	p.mu.Lock()
	finished := len(p.states)
	p.mu.Unlock()
	arrived := p.fetched.total() + p.seeded.total() + p.kept.total() - p.before.Load()
	r := Progress{
		Blocks: len(p.o.Blocks), BlocksDone: finished, BytesDone: min(arrived, p.total.Load()), BytesTotal: p.total.Load(),
		BytesVerified: p.verified.total(), BytesPerSecond: p.fetched.rate(now), ETASeconds: -1,
	}
	if r.BytesPerSecond > 0 {
		r.ETASeconds = (r.BytesTotal - r.BytesDone) / r.BytesPerSecond
	}
	if source != nil && source.Throttle != nil {
		r.Signals = &source.Throttle.Signals
	}
	if source != nil {
		r.SourceDisk = source.Disk
	}
	r.LimitedBy = p.limit(r, source)
	return r
}

// limit says what holds the transfer back: the source's throttle knows, or else where our own time went.
func (p *pull) limit(r Progress, source *SourceStatus) LimitCause {
	switch {
	case p.silent.Load():
		return LimitedByRetry
	case p.verifying.Load() > 0 && r.BytesDone >= r.BytesTotal:
		return LimitedByVerify
	case source != nil && source.LimitedBy != LimitedByNothing:
		return source.LimitedBy
	case 2*p.writing.Load() > p.waiting.Load(): // a read waits for its own writes, too
		return LimitedByTarget
	}
	return LimitedByLink
}
