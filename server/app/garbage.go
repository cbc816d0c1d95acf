package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// garbage is how many bytes Go may leave uncollected in the sidecar. What waits
// there are pictures of megabytes, and what stays are results: by itself Go would
// let as much lie as lives, of a full cache hundreds of megabytes that
// --memory-budget knows nothing of. Most of it holds no pointers, so that a
// collection is quick and may come often.
const garbage = 8 << 20

// collectEarly keeps uncollected garbage to about as many bytes until stop is
// called, which returns when nothing of it runs any more.
func collectEarly(garbage int64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var pacing sync.WaitGroup
	pacing.Go(func() { pace(ctx, garbage) })
	return func() {
		cancel()
		pacing.Wait()
	}
}

func pace(ctx context.Context, garbage int64) {
	const every = 100 * time.Millisecond
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(every)
	defer tick.Stop()
	set := 100
	before := debug.SetGCPercent(set)
	defer func() { debug.SetGCPercent(before) }()
	for {
		metrics.Read(live)
		if want := growth(int64(live[0].Value.Uint64()), garbage); want != set {
			set = want
			debug.SetGCPercent(want)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// growth is by how many percent a heap of live bytes may grow until it is
// collected.
func growth(live, garbage int64) int {
	const least, most = 5, 400
	return int(min(max(100*garbage/max(live, 1), least), most))
}

// heldByGo is how many bytes of the system's memory Go holds, used or not.
func heldByGo() int64 {
	held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(held)
	return int64(held[0].Value.Uint64() - held[1].Value.Uint64())
}
