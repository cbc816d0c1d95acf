package sched

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"focal/core/fault"
	"focal/inference"
)

// expect compares the effects since the last call with want, one a line.
func (w *world) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.log, want) {
		t.Fatalf("effects:\n  %s\nwant:\n  %s", strings.Join(w.log, "\n  "), strings.Join(want, "\n  "))
	}
	w.log = nil
}

func (w *world) expectRefused(t *testing.T, id RequestID, why Reason, kind fault.Kind, says string) time.Duration {
	t.Helper()
	r, ok := w.refused[id]
	if !ok {
		t.Fatalf("request %d was not refused", id)
	}
	if r.why != why || !fault.Is(r.err, kind) || !strings.Contains(r.err.Error(), says) {
		t.Fatalf("request %d refused %s with %s %q: want %s, %s, %q", id, r.why, fault.KindOf(r.err), r.err, why, kind, says)
	}
	return fault.RetryAfter(r.err)
}

func small(id ModelID) Spec { return Spec{ID: id, MaxBatch: 8, Rest: 100, Run: 10} }
func large(id ModelID) Spec { return Spec{ID: id, MaxBatch: 8, Rest: 600, Run: 10} }

const ms = time.Millisecond

// ranOnce is what is known of a model after one run of one item on each canvas.
func ranOnce(canvases ...Canvas) Measured {
	var m Measured
	for _, c := range canvases {
		m.Runs = append(m.Runs, MeasuredRun{Canvas: c, Batch: 1, Time: 10 * ms, Runs: 1})
	}
	return m
}

func TestScheduler_LoadsOnTheFirstRequestAndRunsIt(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.ask("a")
	w.expect(t, "load a")
	if got := w.s.Snapshot().Reserved; got != 110 { // rest, and a run of one for the warm-up
		t.Fatalf("%d bytes booked while loading, want 110", got)
	}
	w.loaded("a", Loaded{Rest: 70})
	w.expect(t, "run a [1]")
	w.doneAll()
	if got := w.s.Snapshot().Reserved; got != 70 { // as measured
		t.Fatalf("%d bytes booked at rest, want 70", got)
	}
}

func TestScheduler_FormsTheBatchWhileTheDeviceIsBusy(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	for range 4 {
		w.ask("a")
	}
	w.expect(t, "run a [2]")
	w.doneAll()
	w.expect(t, "run a [3 4 5]")
}

// Everything is held against one item, so that is what runs first, however many
// wait: with nothing but a batch known, nobody could say whether it pays.
func TestScheduler_LearnsWhatOneItemTakesBeforeItBatches(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	for range 5 {
		w.ask("a")
	}
	w.loaded("a", Loaded{})
	w.expect(t, "load a", "run a [1]")
	w.pass(100 * ms)
	w.doneAll()
	w.expect(t, "run a [2 3 4 5]")
	w.pass(400 * ms) // no faster an item
	w.doneAll()
	for range 3 {
		w.ask("a")
	}
	w.expect(t, "run a [6]")
	w.doneAll()
	w.expect(t, "run a [7]")
}

func TestScheduler_SkipsTheCancelledWhenABatchForms(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	running := w.ask("a")
	w.ask("a")
	gone := w.ask("a")
	w.ask("a")
	if !w.cancel(gone) || w.cancel(running) || w.cancel(gone) {
		t.Fatal("want the waiting one withdrawn once, and the running one not at all")
	}
	w.doneAll()
	w.expect(t, "run a [2]", "run a [3 5]")
}

func TestScheduler_NeverMixesCanvases(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.s.OnMeasured(w.now, "a", ranOnce("s", "l"))
	w.resident("a")
	w.ask("a")
	for _, c := range []Canvas{"s", "l", "s", "l"} {
		w.arrive(Request{Model: "a", Canvas: c})
	}
	w.doneAll()
	w.doneAll()
	w.expect(t, "run a [2]", "run a [3 5]", "run a [4 6]")
}

func TestScheduler_WaitsMaxDelayForCompany(t *testing.T) {
	spec := small("a")
	spec.MaxBatch, spec.MaxDelay = 3, 20*ms
	w := newWorld(t, nil, spec)
	w.s.OnMeasured(w.now, "a", ranOnce("c"))
	w.ask("a")
	w.loaded("a", Loaded{})
	w.pass(19 * ms)
	w.expect(t, "load a")
	w.ask("a")
	w.pass(1 * ms)
	w.expect(t, "run a [1 2]")
	w.pass(11 * ms)
	w.doneAll()
	for range 3 {
		w.ask("a")
	}
	w.expect(t, "run a [3 4 5]") // full: no waiting
}

func TestScheduler_CutsTheBatchToMeetTheEarliestDeadline(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueueLimit = 100 }, small("a"))
	w.resident("a")
	// Runs of 1 and 4 that took 110 and 140 ms: 10 ms an item and 100 ms a run.
	w.ask("a")
	for range 4 {
		w.ask("a")
	}
	w.pass(110 * ms)
	w.doneAll()
	w.pass(140 * ms)
	w.doneAll()
	w.log = nil
	w.ask("a")
	for range 6 {
		w.arrive(Request{Model: "a", Deadline: w.now.Add(271 * ms)}) // 110 and 160 ms: all six in time
	}
	w.pass(125 * ms) // but this run takes longer: 146 ms left for a batch, and five would take 147
	w.done(w.underWay()[0], Done{})
	if got := len(w.started[len(w.started)-1].requests); got != 4 {
		t.Fatalf("a batch of %d, want 4", got)
	}
}

func TestScheduler_RunsOneByOneWhereABatchGainsNothing(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	for range 4 {
		w.ask("a")
	}
	w.pass(50 * ms) // one took 50 ms
	w.doneAll()
	w.pass(200 * ms) // and four took four times that
	w.doneAll()
	w.ask("a")
	for range 4 {
		w.ask("a")
	}
	w.log = nil
	w.pass(50 * ms)
	w.doneAll()
	w.expect(t, "run a [8]")
}

func TestScheduler_RunsSeveralInstancesSideBySide(t *testing.T) {
	one := small("b")
	one.Instances = 1
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, small("a"), one)
	w.resident("a", "b")
	w.ask("a")
	w.ask("a")
	w.expect(t, "run a [3]", "run a [4]")
	w.doneAll()
	w.log = nil
	w.ask("b")
	w.ask("b")
	w.expect(t, "run b [5]")
}

func TestScheduler_RefusesByNameWhatCanNeverFit(t *testing.T) {
	w := newWorld(t, nil, Spec{ID: "huge", Rest: 995, Run: 10})
	id := w.ask("huge")
	w.expectRefused(t, id, RefusedTooLarge, fault.TooLarge, "--memory-budget")
}

func TestScheduler_RefusesWhatItsPinnedNeighboursLeaveNoRoomFor(t *testing.T) {
	pinned := large("p")
	pinned.Pinned = true
	w := newWorld(t, nil, pinned, large("a"), small("b"))
	w.resident("p")
	w.expectRefused(t, w.ask("a"), RefusedTooLarge, fault.TooLarge, "pinned")
	w.ask("b")
	w.pass(10 * second)
	w.expect(t, "refuse 2 too_large", "load b")
}

func TestScheduler_EvictsIdleBeforeBusy(t *testing.T) {
	half := func(id ModelID) Spec { return Spec{ID: id, Rest: 400, Run: 10} }
	w := newWorld(t, nil, half("a"), half("b"), half("c"))
	w.resident("a", "b")
	w.pass(10 * second)
	w.ask("a") // runs; b is idle, though it was used later
	w.ask("c")
	w.expect(t, "run a [3]", "unload b memory")
	w.unloaded("b")
	w.expect(t, "load c")
}

func TestScheduler_EvictsTheModelLeastWorthItsRoom(t *testing.T) {
	half := func(id ModelID) Spec { return Spec{ID: id, Rest: 400, Run: 10} }
	w := newWorld(t, nil, half("often"), half("seldom"), half("c"))
	w.resident("seldom")
	for range 10 {
		w.ask("often")
		if w.state["often"] == "loading" {
			w.loaded("often", Loaded{})
		}
		w.doneAll()
	}
	w.ask("seldom") // the last one used: a least-recently-used rule would keep it
	w.doneAll()
	w.pass(10 * second)
	w.log = nil
	w.ask("c")
	w.expect(t, "unload seldom memory")
}

// The pinned one is worth nothing to anybody, and there would be room if it left.
func TestScheduler_NeverSendsThePinnedAway(t *testing.T) {
	half := func(id ModelID) Spec { return Spec{ID: id, Rest: 400, Run: 10} }
	pinned := half("pinned")
	pinned.Pinned = true
	w := newWorld(t, nil, pinned, half("often"), half("c"))
	w.resident("pinned")
	w.pass(10 * time.Minute)
	w.resident("often")
	for range 10 {
		w.ask("often")
		w.doneAll()
	}
	w.pass(10 * second)
	w.log = nil
	w.ask("c")
	w.expect(t, "unload often memory")
}

func TestScheduler_SparesWhatNeedNotLeave(t *testing.T) {
	w := newWorld(t, nil, small("s"), large("l"), Spec{ID: "c", Rest: 500, Run: 10})
	w.resident("s", "l")
	w.pass(10 * second)
	w.ask("c") // s is worth less than l, but l must go anyhow, and that is enough
	w.expect(t, "unload l memory")
}

func TestScheduler_UnloadsNothingThatRuns(t *testing.T) {
	w := newWorld(t, nil, large("a"), large("b"))
	w.resident("a")
	w.pass(10 * second)
	w.ask("a")
	w.ask("b")
	w.pass(10 * second)
	w.expect(t, "run a [2]") // b has lost patience, a is drained: nothing but its end frees it
	w.ask("a")
	w.doneAll()
	w.expect(t, "unload a memory")
	w.unloaded("a")
	w.expect(t, "load b")
}

func TestScheduler_CollatesABABIntoAABB(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MinResidence = 0 }, large("a"), large("b"))
	w.s.OnMeasured(w.now, "b", ranOnce("c"))
	w.resident("a")
	w.ask("a")
	for _, m := range []ModelID{"b", "a", "b", "a", "b"} {
		w.ask(m)
	}
	w.doneAll() // a's are served together although b came first
	w.doneAll()
	w.expect(t, "run a [2]", "run a [4 6]", "unload a memory")
	w.unloaded("a")
	w.loaded("b", Loaded{})
	w.expect(t, "load b", "run b [3 5 7]")
}

func TestScheduler_BoundsTheWaitForABusyModel(t *testing.T) {
	w := newWorld(t, nil, large("a"), large("b"))
	w.resident("a")
	e := newEngine(w, 1)
	e.step(2 * second)
	asked := w.now
	b := w.ask("b")
	for w.open[b] == asked && !served(w, b) { // a never runs dry
		w.ask("a")
		w.ask("a")
		e.step(5 * ms)
		if w.now.Sub(asked) > 5*second {
			t.Fatal("b starves behind a")
		}
	}
	// A turn, the end of a run, an unload, a load: 1 s + 60 ms + 21 ms + 300 ms.
	if got := w.now.Sub(asked); got > 1400*ms {
		t.Fatalf("b waited %s", got)
	}
	// And a, which still has work, gets its place back after b's turn.
	w.log = nil
	for range 600 {
		w.ask("b")
		e.step(5 * ms)
	}
	if !slices.ContainsFunc(w.log, func(l string) bool { return strings.HasPrefix(l, "run a") }) {
		t.Fatal("a starves behind b")
	}
}

func served(w *world, id RequestID) bool {
	return slices.ContainsFunc(w.started, func(r batchRun) bool { return slices.Contains(r.requests, id) })
}

func TestScheduler_RunsGoOnWhileAClaimWaitsForALoad(t *testing.T) {
	w := newWorld(t, nil, small("a"), Spec{ID: "b", Rest: 400, Run: 50}, Spec{ID: "c", Rest: 480, Run: 20})
	w.resident("a")
	w.ask("b")
	w.ask("c") // has room when b's warm-up is over
	w.ask("a")
	w.expect(t, "load b", "run a [4]")
	w.loaded("b", Loaded{})
	w.ask("a")
	w.doneAll() // b takes more for a run than c leaves
	w.expect(t, "run b [2]")
	w.doneAll()
	w.expect(t, "load c")
}

// b waits for a to be gone. c, which is too large for what that leaves, makes no
// room of its own meanwhile: the two could wait for each other.
func TestScheduler_OneAtATimeMakesRoom(t *testing.T) {
	w := newWorld(t, nil, Spec{ID: "a", Rest: 500, Run: 10}, Spec{ID: "d", Rest: 300, Run: 10}, Spec{ID: "b", Rest: 400, Run: 10}, Spec{ID: "c", Rest: 750, Run: 10})
	w.resident("a", "d")
	w.pass(10 * second)
	w.s.OnRetire(w.now, "a", EvictedOrder)
	w.ask("b")
	w.ask("c")
	w.expect(t, "unload a unloaded")
	w.unloaded("a")
	w.expect(t, "load b")
}

// 500 + 440 and a warm-up of 10 fit in 1000, but then a, which takes 100 for a
// run, could not run any more.
func TestScheduler_LoadsNothingThatLeavesNoRoomToRun(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, Spec{ID: "a", Rest: 500, Run: 100, Instances: 1}, Spec{ID: "b", Rest: 340, Run: 10}, Spec{ID: "c", Rest: 100, Run: 10})
	w.resident("a", "b")
	w.ask("a")
	w.ask("a")
	w.ask("c")
	w.expect(t, "run a [3]")
	w.doneAll()
	w.expect(t, "run a [4]")
	w.doneAll() // nobody waits for a
	w.expect(t, "load c")
}

func TestScheduler_KeepsALoadedModelForItsResidence(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Turn = 0 }, large("a"), large("b"))
	w.ask("a")
	w.pass(200 * ms)
	w.loaded("a", Loaded{}) // 200 ms to load: it stays for 400
	w.doneAll()
	w.log = nil
	w.ask("b")
	w.pass(399 * ms)
	w.expect(t)
	w.pass(1 * ms)
	w.expect(t, "unload a memory")
}

func TestScheduler_UnloadsTheUnusedAfterKeepAlive(t *testing.T) {
	pinned := small("p")
	pinned.Pinned = true
	w := newWorld(t, func(c *Config) { c.KeepAlive = 60 * second }, small("a"), pinned)
	w.resident("a", "p")
	w.pass(59 * second)
	w.ask("a")
	w.doneAll()
	w.log = nil
	w.pass(59 * second)
	w.expect(t)
	w.pass(1 * second)
	w.expect(t, "unload a unused")
}

func TestScheduler_ReprievesAVictimNobodyWaitsForAnyMore(t *testing.T) {
	w := newWorld(t, nil, large("a"), large("b"))
	w.resident("a")
	w.pass(10 * second)
	w.ask("a")
	b := w.ask("b")
	w.pass(2 * second) // a is drained for b
	w.ask("a")
	w.cancel(b)
	w.doneAll()
	w.expect(t, "run a [2]", "run a [4]")
}

func TestScheduler_LearnsWhatWasMeasured(t *testing.T) {
	w := newWorld(t, nil, small("a"), large("b"))
	w.resident("a")
	w.pass(10 * second)
	w.ask("b")
	w.log = nil
	w.loaded("b", Loaded{Rest: 950}) // larger than its room beside a: it leaves again
	w.expect(t, "unload b over_budget")
	w.unloaded("b")
	w.expect(t, "unload a memory") // and is given its true room
	w.unloaded("a")
	w.loaded("b", Loaded{Rest: 950})
	w.expect(t, "load b", "run b [2]")
	w.doneAll()
	w.ask("b")
	w.done(w.underWay()[0], Done{Memory: 60}) // 950 + 60: it never fits
	w.expectRefused(t, w.ask("b"), RefusedTooLarge, fault.TooLarge, "model b")
}

func TestScheduler_GivesOutNothingThatTheDeviceDoesNotHave(t *testing.T) {
	w := newWorld(t, nil, small("a"), Spec{ID: "b", Rest: 500, Run: 10})
	w.resident("a")
	w.pass(10 * second)
	w.s.OnReading(w.now, 600) // 500 more than booked
	w.ask("b")
	w.expect(t, "unload a memory") // 500 + 510 would fit the books, not the device
	w.unloaded("a")
	w.expect(t, "load b") // nothing left to send away: the books decide
}

// Pictures that wait are in the memory that the budget is of.
func TestScheduler_GivesOutNothingThatRequestsHold(t *testing.T) {
	w := newWorld(t, nil, small("a"), Spec{ID: "b", Rest: 300, Run: 10})
	w.resident("a")
	w.pass(10 * second)
	w.s.OnBeside(w.now, 700)
	w.ask("b")
	w.expect(t, "unload a memory") // 100 + 310 would fit the books, not the memory
	w.unloaded("a")
	w.loaded("b", Loaded{})
	w.expect(t, "load b", "run b [2]")
	if run, all := w.s.Room(w.underWay()[0]); run != 10 || all != 0 {
		t.Errorf("a run of %d has a room of %d: want none for what is kept beside it", run, all)
	}
	w.doneAll()
	w.s.OnBeside(w.now, 2000) // more than there is: one alone is served all the same
	w.ask("a")
	w.pass(10 * second)
	w.expect(t, "unload b memory")
	w.unloaded("b")
	w.expect(t, "load a")
}

func TestScheduler_RefusesAboveTheQueueLimitAndSaysWhenToComeBack(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.QueueLimit = 2 }, small("a"))
	w.resident("a")
	w.ask("a")
	w.pass(100 * ms)
	w.doneAll()
	for range 3 {
		w.ask("a")
	}
	after := w.expectRefused(t, w.ask("a"), RefusedFull, fault.Busy, "--inference-queue")
	if after != 400*ms { // one runs, two wait and one comes, 100 ms each
		t.Fatalf("retry after %s, want 400ms", after)
	}
	direct := w.arrive(Request{Model: "a", Class: inference.ClassDirect})
	if _, refused := w.refused[direct]; refused {
		t.Fatal("one class fills the queue of another")
	}
}

func TestScheduler_RefusesAtOnceWhatWouldBeLate(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	w.pass(100 * ms)
	w.doneAll()
	w.ask("a")
	w.ask("a") // 200 ms of work ahead, and 100 of its own
	late := w.arrive(Request{Model: "a", Deadline: w.now.Add(250 * ms)})
	if after := w.expectRefused(t, late, RefusedLate, fault.Busy, "too late"); after != 50*ms {
		t.Fatalf("retry after %s, want 50ms", after)
	}
	if why, err := w.s.WouldRefuse(w.now, Request{Model: "a", Deadline: w.now.Add(250 * ms)}); why != RefusedLate || fault.RetryAfter(err) != 50*ms {
		t.Fatalf("WouldRefuse does not agree: %s, %v", why, err)
	}
	if _, err := w.s.WouldRefuse(w.now, Request{Model: "a", Deadline: w.now.Add(350 * ms)}); err != nil {
		t.Fatalf("WouldRefuse refuses what is in time: %v", err)
	}
}

func TestScheduler_LetsOneThroughWhenItsEstimateIsStale(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	w.pass(20 * second) // an outlier
	w.doneAll()
	soon := func() RequestID { return w.arrive(Request{Model: "a", Deadline: w.now.Add(second)}) }
	w.expectRefused(t, soon(), RefusedLate, fault.Busy, "too late")
	w.pass(10 * second)
	if id := soon(); !served(w, id) {
		t.Fatal("a wrong estimate refuses for ever")
	}
}

func TestScheduler_RefusesWhoseDeadlinePassesInTheQueue(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	id := w.arrive(Request{Model: "a", Deadline: w.now.Add(30 * ms)})
	w.pass(30 * ms)
	w.expectRefused(t, id, RefusedLate, fault.Busy, "too late")
}

func TestScheduler_SharesTheDeviceFourToOne(t *testing.T) {
	spec := small("a")
	spec.MaxBatch = 1
	w := newWorld(t, nil, spec)
	w.resident("a")
	class := map[RequestID]inference.Class{}
	for range 100 {
		for _, c := range []inference.Class{inference.ClassDirect, inference.ClassServer} {
			class[w.arrive(Request{Model: "a", Class: c})] = c
		}
	}
	w.started = nil
	for range 100 {
		w.pass(10 * ms)
		w.doneAll()
	}
	served := [2]int{}
	for _, r := range w.started {
		served[class[r.requests[0]]]++
	}
	if served[0] < 78 || served[0] > 82 {
		t.Fatalf("of 100 runs the server had %d and direct callers %d, want 80 and 20", served[0], served[1])
	}
}

func TestScheduler_LetsNoClassSaveUpWhileItsModelLoads(t *testing.T) {
	one := func(id ModelID) Spec { return Spec{ID: id, MaxBatch: 1, Rest: 100, Run: 10} }
	w := newWorld(t, nil, one("a"), one("slow"))
	w.resident("a")
	for range 250 {
		w.ask("slow") // of the server's class
	}
	for range 600 { // a minute of device time for direct callers
		w.arrive(Request{Model: "a", Class: inference.ClassDirect})
		w.pass(100 * ms)
		w.doneAll()
	}
	w.loaded("slow", Loaded{})
	direct := w.arrive(Request{Model: "a", Class: inference.ClassDirect})
	// A second of credit at weight 4 is 4 s of the device: 40 runs, and one
	// or two of unknown length before them.
	for range 45 {
		w.pass(100 * ms)
		w.doneAll()
	}
	if !served(w, direct) {
		t.Fatal("a class that could not run shuts the other out")
	}
}

func TestScheduler_DrainsAnyModelForWhoHasWaitedTooLong(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Turn, c.MinResidence = time.Hour, time.Hour }, large("a"), large("b"))
	w.resident("a")
	w.ask("a")
	w.ask("b")
	w.ask("a")
	w.pass(10*second - ms)
	w.doneAll()
	w.expect(t, "run a [2]", "run a [4]")
	w.ask("a")
	w.pass(ms)
	w.doneAll() // a still has work, and has not had its turn
	w.expect(t, "unload a memory")
}

func TestScheduler_OrdersByPriorityWithinAClassAndAgesTheRest(t *testing.T) {
	spec := small("a")
	spec.MaxBatch = 1
	w := newWorld(t, nil, spec)
	w.resident("a")
	w.ask("a")
	w.arrive(Request{Model: "a", Priority: 8})
	w.arrive(Request{Model: "a", Priority: 1})
	w.ask("a")
	w.doneAll()
	w.doneAll()
	w.expect(t, "run a [2]", "run a [4]", "run a [5]")
	w.pass(4 * second) // 7 steps of 500 ms: whoever comes now is behind it
	w.arrive(Request{Model: "a", Priority: 1})
	w.doneAll()
	w.expect(t, "run a [3]")
}

// A number beyond the lowest priority would be a wait without an end.
func TestScheduler_TakesAnyNumberBeyondTheLowestPriorityForIt(t *testing.T) {
	spec := small("a")
	spec.MaxBatch = 1
	w := newWorld(t, nil, spec)
	w.resident("a")
	w.ask("a")
	w.arrive(Request{Model: "a", Priority: 1 << 30})
	w.pass(4*second - ms) // seven steps of 500 ms are over
	w.arrive(Request{Model: "a", Priority: 1})
	w.doneAll()
	w.expect(t, "run a [2]", "run a [3]")
}

func TestScheduler_SplitsAFailingBatchSoThatOnlyTheGuiltyFail(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	guilty := w.ask("a")
	w.ask("a")
	w.ask("a")
	w.doneAll()
	left := w.underWay()[0]
	w.cancel(5) // its caller leaves while it runs: no second try
	bad := errors.New("bad tensor")
	w.done(left, Done{Err: bad})
	w.done(w.underWay()[0], Done{Err: bad}) // the guilty, alone
	w.doneAll()
	w.expect(t, "run a [2]", "run a [3 4 5]", "refuse 5 run_failed", "run a [3]", "refuse 3 run_failed", "run a [4]")
	w.expectRefused(t, guilty, RefusedRun, fault.Internal, "bad tensor")
}

func TestScheduler_HalvesTheBatchWhenMemoryRunsOut(t *testing.T) {
	w := newWorld(t, nil, small("a"))
	w.resident("a")
	w.ask("a")
	for range 4 {
		w.ask("a")
	}
	w.doneAll()
	w.done(w.underWay()[0], Done{Err: fault.New(fault.Busy, "test", "out of memory")})
	w.doneAll()
	w.expect(t, "run a [2]", "run a [3 4 5 6]", "run a [3 4]", "run a [5 6]")
}

func TestScheduler_BacksOffFromAModelThatDoesNotLoadAndServesTheOthers(t *testing.T) {
	w := newWorld(t, nil, small("bad"), small("good"))
	first := w.ask("bad")
	w.loaded("bad", Loaded{Err: fault.New(fault.Corrupt, "test", "file is truncated")})
	if after := w.expectRefused(t, first, RefusedLoad, fault.Unavailable, "file is truncated"); after != second {
		t.Fatalf("retry after %s, want 1s", after)
	}
	w.expectRefused(t, w.ask("bad"), RefusedLoad, fault.Unavailable, "file is truncated")
	w.resident("good")
	w.pass(second)
	w.ask("bad")
	w.expect(t, "load bad")
	w.loaded("bad", Loaded{Err: errors.New("still bad")})
	if after := w.expectRefused(t, 4, RefusedLoad, fault.Unavailable, "still bad"); after != 2*second {
		t.Fatalf("retry after %s, want 2s", after)
	}
}

func TestScheduler_ClosesByRefusingFinishingAndUnloading(t *testing.T) {
	w := newWorld(t, nil, small("a"), small("b"))
	w.resident("a", "b")
	w.ask("a")
	waits := w.ask("a")
	w.s.OnClose(w.now)
	w.expectRefused(t, waits, RefusedClosing, fault.Unavailable, "shutting down")
	w.expectRefused(t, w.ask("b"), RefusedClosing, fault.Unavailable, "shutting down")
	w.doneAll()
	w.unloaded("b")
	if w.s.Ended() {
		t.Fatal("ended with a loaded model")
	}
	w.unloaded("a")
	if !w.s.Ended() {
		t.Fatal("not ended")
	}
}

func TestConfig_NamesWhatItRefuses(t *testing.T) {
	bad := DefaultConfig()
	bad.Budget = 0
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "--memory-budget") {
		t.Fatalf("got %v", err)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
}

// 300 + 300 + 250 at rest leave 150 of 1000: one run of 100, where two slots
// have work.
func TestScheduler_LoadsNothingThatLeavesASlotWithoutRoom(t *testing.T) {
	one := func(id ModelID) Spec { return Spec{ID: id, Rest: 300, Run: 100, Instances: 1} }
	w := newWorld(t, func(c *Config) { c.Slots = 2 }, one("a"), one("b"), Spec{ID: "c", Rest: 250, Run: 10})
	w.resident("a", "b")
	for _, m := range []ModelID{"a", "b", "a", "b", "c"} {
		w.ask(m)
	}
	w.expect(t, "run a [3]", "run b [4]")
	w.doneAll()
	w.expect(t, "run a [5]", "run b [6]")
	w.doneAll() // nobody waits for a or b
	w.expect(t, "load c")
}

func TestScheduler_LoadsFirstWhatItsCallersHaveWaitedLongestForTogether(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Loads = 1 }, small("a"), small("b"), small("c"))
	w.ask("a")
	w.ask("b")
	w.pass(200 * ms)
	w.ask("c")
	w.ask("c")
	w.pass(300 * ms)
	w.expect(t, "load a")
	w.loaded("a", Loaded{}) // one has waited 500 ms for b, two 300 ms each for c
	w.expect(t, "load c", "run a [1]")
}

// reloaded is a world in which a takes 300 ms to load and 50 to run, is not
// loaded, and the one place for loading is taken by b.
func reloaded(t *testing.T) *world {
	brief := small("a")
	brief.KeepAlive = second
	w := newWorld(t, func(c *Config) { c.Loads = 1 }, brief, small("b"))
	w.ask("a")
	w.pass(300 * ms)
	w.loaded("a", Loaded{})
	w.pass(50 * ms)
	w.doneAll()
	w.pass(second)
	w.unloaded("a")
	w.ask("b")
	w.log = nil
	return w
}

func TestScheduler_RefusesWhomALoadCannotHelpAnyMoreAndDoesNotLoad(t *testing.T) {
	w := reloaded(t)
	id := w.arrive(Request{Model: "a", Deadline: w.now.Add(second)})
	w.pass(650 * ms)
	w.expect(t)
	w.pass(ms) // 349 ms left, 350 needed
	w.expectRefused(t, id, RefusedLate, fault.Busy, "too late")
	w.loaded("b", Loaded{})
	w.expect(t, "refuse 3 late", "run b [2]")
}

func TestScheduler_LoadsForWhoCouldNeverHaveBeenInTime(t *testing.T) {
	w := reloaded(t)
	w.arrive(Request{Model: "a", Deadline: w.now.Add(200 * ms)})
	w.pass(100 * ms)
	w.loaded("b", Loaded{})
	w.expect(t, "run b [2]", "load a") // else nobody would ever have it loaded
}
