// Package sched decides: which model is loaded and which leaves, which batch
// runs next, who waits and who is refused.
//
// It is a pure state machine. Time comes in with every event; what is to be
// done goes out through Effects; nothing here blocks, reads a clock, starts a
// goroutine or takes a lock, so that tests and the simulator drive it by hand.
// It knows no tensors, no pixels, no engine and no session: inference/host
// holds those. All methods belong to one goroutine, its owner's.
//
// # How it decides
//
// Requests wait in one queue per model and canvas, ordered by arrival with a
// head start for priority. Classes share the device by weighted fair queueing
// (queue.go). When a device slot is free, the queue that is owed most gets it,
// and only then its batch is fixed (batch.go). A model that is wanted and not
// loaded, or a run that wants memory, needs room: room is booked before it is
// used (books.go), and made by sending idle models away by cost, busy ones
// only after a bounded wait (evict.go). What a run costs is learnt from the
// runs (profile.go). A request that would be late is refused when it arrives
// (admit.go). What was on the device when a process before this one ended has
// the device to itself, and is refused the second time (blame.go).
package sched

import (
	"time"

	"focal/core/fault"
	"focal/inference"
)

// ModelID names one version of one model: two versions are two models here.
type ModelID string

// RequestID is the owner's name for a request; it is never used twice.
type RequestID uint64

// RunID names a run. The Scheduler counts them from 1.
type RunID uint64

// Canvas is the shape of one item, in the owner's words: requests of one model
// and one canvas can be stacked into a batch.
type Canvas string

// toLoad is the canvas of those who want nothing but the model: no tensor has
// a shape of this name.
const toLoad Canvas = "load"

// Request is one item that wants to run.
type Request struct {
	ID     RequestID
	Model  ModelID
	Canvas Canvas
	// Load asks for the model alone: the answer is Ready as soon as it is
	// loaded, and nothing runs. It waits, makes room and is refused like any
	// other; Canvas does not count.
	Load     bool
	Class    inference.Class
	Priority int       // 1 is the highest; 0 means DefaultPriority
	Deadline time.Time // zero: none
	// Key is what is to blame if the process ends over it; zero: nothing.
	Key Key
}

// Spec is what is declared of a model. Declared numbers count until they have
// been measured.
type Spec struct {
	ID        ModelID
	Name      string        // for people: error texts
	MaxBatch  int           // largest batch worth running; 0 means 1
	Probe     int           // largest batch worth measuring on an idle device; MaxBatch if that is more
	MaxDelay  time.Duration // how long a batch that is not full waits for more while a slot is free
	Instances int           // runs at the same time; 0 means as many as there are slots
	// Buckets says that the device has to be tuned to each batch size: batches are
	// powers of two, and one above the first is only run for requests once it has
	// been run for nobody since the model was loaded.
	Buckets   bool
	Rest      int64 // bytes while loaded
	Run       int64 // bytes for each item of a batch while it runs, at the largest canvas
	LoadTime  time.Duration
	KeepAlive time.Duration // replaces the Config's; 0 means that one
	Pinned    bool          // never sent away
	// Retired is a version that another has taken over from: it answers who
	// asked for it in time, leaves when it is idle, and is forgotten then.
	Retired bool
}

// Reason says why something happened; reasons are values of metric labels.
type Reason string

// Why a request was refused.
const (
	RefusedFull     Reason = "queue_full"
	RefusedLate     Reason = "late"
	RefusedTooLarge Reason = "too_large"
	RefusedTaken    Reason = "memory_taken"
	RefusedLoad     Reason = "load_failed"
	RefusedRun      Reason = "run_failed"
	RefusedStuck    Reason = "stuck"
	RefusedCrashed  Reason = "crashed"
	RefusedClosing  Reason = "closing"
	RefusedUnknown  Reason = "unknown_model"
)

// Why a model was unloaded.
const (
	EvictedMemory  Reason = "memory"      // another needed the room
	EvictedUnused  Reason = "unused"      // nobody asked for it for KeepAlive
	EvictedOver    Reason = "over_budget" // it was measured to be larger than its room
	EvictedRetired Reason = "new_version" // another version has taken over
	EvictedGone    Reason = "removed"     // it has left the repository
	EvictedOrder   Reason = "unloaded"    // somebody asked for it
	EvictedStuck   Reason = "stuck"       // a run on it had to be stopped
	EvictedClosing Reason = "closing"
)

// Effects is everything that a Scheduler does to the world. The calls come
// from within an event, after the books say so; they must return at once and
// must not call the Scheduler back, except for Room. What they start is reported as an event:
// Load by OnLoaded, Unload by OnUnloaded, Run and Probe by OnDone.
type Effects interface {
	Load(m ModelID)
	Unload(m ModelID, why Reason)
	// Run runs a batch on the loaded model, which stays loaded until OnDone.
	Run(r RunID, m ModelID, c Canvas, requests []RequestID)
	// Probe runs a batch of n empty items on the loaded model, to measure it.
	Probe(r RunID, m ModelID, c Canvas, n int)
	// Stop asks a run to end early; its OnDone comes all the same.
	Stop(r RunID)
	// StopLoad asks a load to end early; its OnLoaded comes all the same.
	StopLoad(m ModelID)
	// Lost says that something has not ended although it was asked to: the device
	// or the runtime does not work any more. Why wraps inference.ErrDeviceLost;
	// guilty are the keys of what is to blame.
	Lost(m ModelID, why error, guilty []Key)
	// Refuse is the request's answer.
	Refuse(r RequestID, why Reason, err error)
	// Ready is the answer to a request with Load: its model is loaded.
	Ready(r RequestID)
	// Replace sends new requests for old to next from now on.
	Replace(old, next ModelID)
}

// Scheduler is the state machine.
type Scheduler struct {
	cfg Config
	do  Effects

	books     books
	models    []*model // in the order of their first OnModel, so that decisions repeat
	byID      map[ModelID]*model
	requests  map[RequestID]*request // waiting or running
	runs      map[RunID]*run
	lastRun   RunID
	shares    shares
	expiries  expiries
	guests    []guest // by the time when they were let in
	claim     *claim
	crashes   map[Key]crash // held against what was on the device when the process ended
	alone     bool          // a suspect runs or loads: nothing starts beside it
	idleSince time.Time     // end of the last run that was no probe
	wake      time.Time
	closing   bool
}

// New returns a Scheduler with no models.
func New(cfg Config, do Effects) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fault.New(fault.Invalid, "sched.New", "%w", err)
	}
	return &Scheduler{
		cfg: cfg, do: do,
		books:    books{budget: cfg.Budget, used: -1},
		byID:     map[ModelID]*model{},
		requests: map[RequestID]*request{},
		runs:     map[RunID]*run{},
		shares:   shares{weights: cfg.Weights},
	}, nil
}

// OnModel makes a model known, or changes what is declared of it.
func (s *Scheduler) OnModel(now time.Time, spec Spec) {
	s.declare(now, spec)
	s.settle(now)
}

func (s *Scheduler) declare(now time.Time, spec Spec) *model {
	spec.MaxBatch = max(spec.MaxBatch, 1)
	if spec.Instances <= 0 {
		spec.Instances = s.cfg.Slots
	}
	m := s.byID[spec.ID]
	if m != nil {
		m.Spec, m.leaves = spec, ""
	} else {
		m = &model{Spec: spec, rate: rate{halfLife: s.cfg.RateHalfLife}, queues: map[Canvas]*queue{}, profiles: map[Canvas]*profile{}}
		s.byID[spec.ID] = m
		s.models = append(s.models, m)
		s.backOff(now, m)
	}
	return m
}

// OnArrive takes a request in, or refuses it. The decision tree is admit's.
func (s *Scheduler) OnArrive(now time.Time, r Request) {
	if r.Load {
		r.Canvas = toLoad
	}
	why, err := s.admit(now, r)
	s.arrived(now, r.Key)
	if err != nil {
		s.do.Refuse(r.ID, why, err)
		return
	}
	m := s.byID[r.Model]
	m.rate.add(now)
	m.lastUsed = now
	q := &request{
		Request: r, queue: m.queue(r.Canvas), arrived: now,
		rank:      rank(now, r.Priority, s.cfg.PriorityStep),
		impatient: impatience(now, r.Deadline, s.cfg.Turn),
		alone:     s.suspect(now, r.Key),
	}
	s.requests[r.ID] = q
	s.enqueue(q)
	s.settle(now)
}

// OnCancel withdraws a request whose caller has left. True means that it was
// withdrawn and gets no answer; false that its run has started, or it has been
// answered: a started run goes on to its end.
func (s *Scheduler) OnCancel(now time.Time, id RequestID) bool {
	r := s.requests[id]
	if r == nil {
		return false
	}
	if r.running {
		r.abandoned = true
		return false
	}
	s.forget(r)
	s.settle(now)
	return true
}

// OnTick lets time pass; it is due at NextWake.
func (s *Scheduler) OnTick(now time.Time) { s.settle(now) }

// OnReading hears how many bytes the device says are held by the models now, or -1
// where it does not say. It only corrects the books: what is held beyond them,
// because another process took it or freed memory has not come back yet, is not
// given out.
func (s *Scheduler) OnReading(now time.Time, used int64) {
	s.books.used = used
	s.books.drift = max(0, used-s.books.reserved())
	s.settle(now)
}

// OnBeside hears how many bytes of the device's memory are held by what no model
// and no run is: pictures that wait, and what is left lying of them. They are not
// given out either.
func (s *Scheduler) OnBeside(now time.Time, bytes int64) {
	s.books.beside = max(0, bytes)
	s.settle(now)
}

// OnFree hears how many bytes of the device nobody holds. Where other processes
// hold so much that the budget is not there any more, it shrinks to what is, and
// idle models leave; it grows again when they let go. Where nobody says what this
// process holds, what is booked counts as held: the budget may be too large by what
// has been booked and is not taken yet, until the next reading.
func (s *Scheduler) OnFree(now time.Time, free int64) {
	ours := s.books.used
	if ours < 0 {
		ours = s.books.booked
	}
	s.books.budget = min(s.cfg.Budget, ours+max(free, 0))
	if over := s.books.booked - s.leaving() - s.books.budget; over > 0 {
		s.evictSome(now, over)
	}
	s.settle(now)
}

// OnClose ends the service: what waits is refused, nothing new is taken, what
// runs finishes, and every model is unloaded as it falls idle. Ended says when.
func (s *Scheduler) OnClose(now time.Time) {
	s.closing = true
	for _, m := range s.models {
		s.refuseAll(m, RefusedClosing, closingError())
	}
	s.settle(now)
}

// Ended reports that OnClose has run its course: nothing is loaded or running.
func (s *Scheduler) Ended() bool {
	if !s.closing || len(s.runs) > 0 {
		return false
	}
	for _, m := range s.models {
		if m.state != absent {
			return false
		}
	}
	return true
}

// NextWake returns when the next OnTick is due if nothing else happens before;
// zero means that time alone changes nothing.
func (s *Scheduler) NextWake() time.Time { return s.wake }

// settle brings the world in line with what is known. Every event ends here,
// and nothing is started or sent away anywhere else.
//
//  1. Requests whose deadline has passed are refused; runs that are stuck are
//     stopped, and what they ran on leaves; so are loads. (watch, watchLoads)
//  2. A claim on memory that nobody needs any more is dropped; of one that
//     stands, the victims that have stopped running leave.
//  3. Models that nobody has used for KeepAlive leave, and retired ones that
//     are idle; all idle ones if closing.
//  4. What is retired and gone is forgotten. (version.go)
//  5. Where larger batches wait than the device is tuned to, it is tuned. (tune)
//  6. The queue that is owed most starts what it can, until none can.
//  7. If there is nothing to do, something is measured. (probe)
func (s *Scheduler) settle(now time.Time) {
	s.wake = time.Time{}
	s.expire(now) // 1
	s.watch(now)
	s.watchLoads(now)
	s.tendClaim(now)   // 2
	s.evictSick(now)   // 1, unless the claim has sent it away already
	s.evictUnused(now) // 3
	s.forgetRetired()  // 4
	s.tune(now)        // 5
	for s.startNext(now) {
	} // 6
	s.probe(now) // 7
}

// startNext starts the first thing that can start, in the order in which the
// queues are owed, and reports whether there was one. A suspect (blame.go) has
// the device to itself: when it is its turn what is under way ends first, and
// nothing starts beside it.
func (s *Scheduler) startNext(now time.Time) bool {
	if s.alone {
		return false
	}
	for _, q := range s.owed(now) {
		if q.len() == 0 {
			continue
		}
		if s.suspected(now, q) && !s.quiet() {
			return false
		}
		if s.start(now, q) {
			return true
		}
	}
	return false
}

// start gets q going, if it can:
//
//  1. Its model is absent: whom a load cannot help any more is refused. For who
//     is left it is loaded, when a loading place is free and there is room for
//     it at rest and for runs. (giveUp, roomToLoad)
//  2. Its model is loading or leaving, or about to: wait for the event.
//  3. It wants nothing but the model: that is there.
//  4. Its model is to leave for another's claim, or no slot or instance is
//     free: wait. The batch forms meanwhile.
//  5. A batch can be fixed: run it. (batch)
//  6. There is no memory for even one item: make room. (room)
func (s *Scheduler) start(now time.Time, q *queue) bool {
	m := q.model
	switch {
	case m.state == absent: // 1
		s.giveUp(now, q)
		if q.len() == 0 || s.loading() >= s.cfg.Loads || !s.roomToLoad(now, q) {
			return false
		}
		s.load(now, m)
		return true
	case m.state != resident || m.sick: // 2
		return false
	case q.canvas == toLoad: // 3
		s.ready(now, q)
		return true
	case s.claim.takes(m) || len(s.runs) >= s.cfg.Slots || m.running >= m.Instances: // 4
		return false
	}
	if batch := s.batch(now, q); len(batch) > 0 { // 5
		s.run(now, q, batch)
		return true
	}
	return false // 6: batch has asked for room where memory was what it lacked
}

// wakeAt asks for a tick at t, or earlier.
func (s *Scheduler) wakeAt(t time.Time) {
	if !t.IsZero() && (s.wake.IsZero() || t.Before(s.wake)) {
		s.wake = t
	}
}
