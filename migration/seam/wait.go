package seam

import (
	"fmt"
	"slices"
)

// defaultRange is how long a server's blocks are that says nothing else: two hours.
const defaultRange = 2 * 60 * 60 * 1000

// wait says what has to happen before the rest, and whether the first part may go in now.
func (p *planner) wait(before, after []Part) {
	if p.Seam == 0 {
		p.add(Wait{Kind: WaitTargetSample})
		return
	}
	p.plan.Ready = p.ready(after)
	end := p.End()
	if at := p.settledAt(); len(before) > 0 && at > 0 {
		p.add(Wait{Kind: WaitSettled, Range: Range{From: p.Seam}, At: at})
	}
	p.sourceBehind(p.Seam)
	if end == 0 {
		p.add(Wait{Kind: WaitEnd})
		return
	}
	behind := !p.inBlocks(p.Seam) || p.sourceBehind(end)
	if h := p.TargetHead; (behind || len(after) > 0) && (h == nil || h.Min < end) {
		p.add(p.cut(WaitTargetCut, h, end))
	}
	p.late()
}

func (p *planner) add(w Wait) { p.plan.Waits = append(p.plan.Waits, w) }

// ready asks for everything that the first part needs.
func (p *planner) ready(after []Part) bool {
	if len(p.plan.Parts) == 0 || p.TargetHead == nil || p.TargetHead.Empty || len(p.plan.Damaged) > 0 {
		return false
	}
	held := func(x Part) bool { return slices.Contains(p.Held, x.Source) }
	first := p.plan.Parts[0]
	if first.Side != After {
		return held(first) && p.inBlocks(p.Seam) && p.settledAt() == 0 && first.To <= p.TargetHead.Min
	}
	end := p.Rounds[first.Round].End
	return p.inBlocks(end) && end <= p.TargetHead.Min && !slices.ContainsFunc(after, func(x Part) bool { return x.Round == first.Round && !held(x) })
}

// settledAt is when the target's head takes no sample before S' any more, 0 if that is so already: it takes what is at
// most half a block older than its newest sample (tsdb/head_append.go appendableMinValidTime).
func (p *planner) settledAt() int64 {
	h := p.TargetHead
	if h == nil || h.Empty {
		return p.Seam + defaultRange/2
	}
	at := p.Seam + h.length()/2
	if h.Max >= at {
		return 0
	}
	return at
}

func (h *Head) length() int64 {
	if h.Range > 0 {
		return h.Range
	}
	return defaultRange
}

// inBlocks says that all the source's samples before a time are in blocks.
func (p *planner) inBlocks(until int64) bool {
	return p.SourceHead == nil || p.SourceHead.Empty || p.SourceHead.Min >= until
}

// sourceBehind notes that a range is in the source's head yet.
func (p *planner) sourceBehind(until int64) bool {
	if p.inBlocks(until) {
		return false
	}
	p.add(p.cut(WaitSourceCut, p.SourceHead, until))
	return true
}

// cut is when a head is cut at or behind a time, and the block that is then written. A head is cut when it spans one and a
// half blocks; the block ends at the next multiple of its length (tsdb/head.go compactable, tsdb/db.go compactHead). How
// long earlier blocks were says nothing.
func (p *planner) cut(kind WaitKind, h *Head, until int64) Wait {
	w := Wait{Kind: kind, Range: Range{To: until}}
	if h == nil || h.Empty {
		return w
	}
	length := h.length()
	w.From, w.To = h.Min, ceil(h.Min+1, length)
	if w.To < until { // blocks between are whole ones
		w.To = ceil(until, length)
		w.From = w.To - length
	}
	w.At = w.From + length*3/2
	return w
}

// ceil is the next multiple of n at or behind t.
func ceil(t, n int64) int64 {
	q := t / n
	if t%n > 0 {
		q++
	}
	return q * n
}

// late waits until no sample before S' can come any more, and until the cut behind that: with it the server writes the
// block of what came late.
func (p *planner) late() {
	h := p.SourceHead
	if p.OutOfOrder <= 0 || h == nil || h.Empty {
		return
	}
	if until := p.Seam + p.OutOfOrder + h.length(); h.Min < until {
		w := p.cut(WaitLate, h, until)
		w.From, w.To = p.Seam, p.Seam+p.OutOfOrder
		p.add(w)
	}
}

// String says what is waited for, and until when.
func (w Wait) String() string {
	text := ""
	switch w.Kind {
	case WaitTargetSample:
		text = "the target has no sample yet: its first scrape says where its history begins"
	case WaitEnd:
		text = "nobody has said yet that both servers scrape the same"
	case WaitSourceCut:
		text = fmt.Sprintf("block [%s, %s) appears on the source%s: its head is cut then", instant(w.From), instant(w.To), about(w.At))
	case WaitSettled:
		text = fmt.Sprintf("the target's head may still take samples before %s%s: nothing is installed until then", instant(w.From), untilAbout(w.At))
	case WaitTargetCut:
		text = fmt.Sprintf("the target writes block [%s, %s)%s: then the piece behind the seam can go in", instant(w.From), instant(w.To), about(w.At))
	case WaitLate:
		text = fmt.Sprintf("the source takes samples before %s until %s, and writes them%s", instant(w.From), instant(w.To), about(w.At))
	}
	return text
}

func about(at int64) string {
	if at == 0 {
		return ""
	}
	return " at about " + instant(at)
}

func untilAbout(at int64) string {
	if at == 0 {
		return ""
	}
	return " until its newest is at " + instant(at)
}
