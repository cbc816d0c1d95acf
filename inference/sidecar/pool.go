package sidecar

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/inference"
	rule "focal/inference/route" // route is a path here
)

// PoolConfig is what the client end of several sidecars may be told.
type PoolConfig struct {
	// Addresses are where the sidecars are, each as in DialConfig. Every server
	// should spell them alike: contents are shared out by these names.
	Addresses []string
	// Dial is how each is dialled; its Address does not count.
	Dial DialConfig
	// A sidecar that is left out is asked whether it is ready, at first after
	// MinProbe, then after twice as long each time, up to MaxProbe.
	MinProbe, MaxProbe time.Duration
	// Remember is how long what two sidecars were lost over is given to no
	// third one: they have had time to start again, and know it by then.
	Remember time.Duration
	// Log hears who is left out, and who is back; nil: slog.Default.
	Log *slog.Logger
}

// DefaultPoolConfig returns everything but the addresses.
func DefaultPoolConfig() PoolConfig {
	return PoolConfig{Dial: DefaultDialConfig(), MinProbe: 100 * time.Millisecond, MaxProbe: 2 * time.Second, Remember: 10 * time.Minute}
}

// Validate reports the first field that cannot work.
func (c PoolConfig) Validate() error {
	const op = "sidecar.PoolConfig"
	if len(c.Addresses) == 0 {
		return fault.New(fault.Invalid, op, "--inference: no address")
	}
	for i, address := range c.Addresses {
		if err := c.dial(address).Validate(); err != nil {
			return err
		}
		if slices.Contains(c.Addresses[:i], address) {
			return fault.New(fault.Invalid, op, "--inference: %s is named twice", address)
		}
	}
	if c.MinProbe <= 0 || c.MaxProbe < c.MinProbe {
		return fault.New(fault.Invalid, op, "probes after %v up to %v: want more than 0, and rising", c.MinProbe, c.MaxProbe)
	}
	if c.Remember < 0 {
		return fault.New(fault.Invalid, op, "what sidecars were lost over is remembered for %v: want 0 or more", c.Remember)
	}
	return nil
}

func (c PoolConfig) dial(address string) DialConfig {
	d := c.Dial
	d.Address = address
	return d
}

// Pool asks several sidecars that do not know each other, by the rule of
// inference/route. It is safe for concurrent use.
//
// One that is away is left out until it says that it is ready: a goroutine of
// its own asks it meanwhile, so that no question is spent on finding out. Close
// ends them all.
type Pool struct {
	cfg     PoolConfig
	members []*member
	open    context.Context // ends with Close
	close   context.CancelFunc
	watches sync.WaitGroup // added to under mu, never after Close

	mu     sync.Mutex // protects what members say of themselves, and losses
	losses map[matter]loss
}

// member is one sidecar. Its client needs no lock.
type member struct {
	client   *Client
	inFlight int    // pixels that were sent there and are not answered
	away     string // why it is left out; empty: it is asked
	watched  bool   // somebody asks whether it is ready
}

var _ inference.Client = (*Pool)(nil)

// DialPool makes a client of several sidecars. It connects with the first
// question: until one shows otherwise, all are taken to be there.
func DialPool(cfg PoolConfig) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	p := &Pool{cfg: cfg, losses: map[matter]loss{}}
	for _, address := range cfg.Addresses {
		c, err := Dial(cfg.dial(address))
		if err != nil {
			return nil, err
		}
		p.members = append(p.members, &member{client: c})
	}
	p.open, p.close = context.WithCancel(context.Background())
	return p, nil
}

// Close ends the watching and closes the connections that are not in use;
// requests under way finish.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.close()
	p.mu.Unlock()
	p.watches.Wait()
	var errs []error
	for _, m := range p.members {
		errs = append(errs, m.client.Close(ctx))
	}
	return errors.Join(errs...)
}

// Faces asks for the faces of a subject.
func (p *Pool) Faces(ctx context.Context, r inference.FacesRequest) (inference.Faces, error) {
	return askFaces(ctx, r, p.ask)
}

// Foreground asks for the foreground mask of a subject.
func (p *Pool) Foreground(ctx context.Context, r inference.ForegroundRequest) (inference.Foreground, error) {
	return askForeground(ctx, r, p.ask)
}

// ask puts one question along the order of its content:
//
//  1. The first that is left is asked by content: a known answer costs no run,
//     and a refusal no pixels.
//  2. What is not known needs a look; without one the answer is NotFound.
//  3. Of those that are left, the first that has no more than its share of what
//     is in flight gets the pixels.
//  4. Any answer but a refusal is the answer.
//  5. A second one was lost over the pixels: they may be what kills it. No
//     third one is tried, nor is one by those who ask again. (takers)
//  6. Whoever refused, or is away, is passed over.
//  7. Nobody is left: the refusal after which it is best to come back.
func (p *Pool) ask(ctx context.Context, q inquiry) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Dial.Timeout) // no longer than ctx's own deadline
	defer cancel()
	left, refusal := p.order(q.matter())
	var look pixel.Buffer
	lost := 0
	for len(left) > 0 {
		at := left[0]
		got, err := p.put(ctx, at, q.byContent())                   // 1
		if fault.Is(err, fault.NotFound) && q.subject.Look != nil { // 2
			if look.Pix == nil {
				if look, err = q.look(ctx); err != nil {
					return reply{}, err
				}
			}
			at = p.take(left) // 3
			got, err = p.put(ctx, at, q.byLook(look))
			p.release(at)
			p.lost(q.matter(), at, err)
			if errors.Is(err, errBroken) {
				lost++
			}
		}
		if !fault.Is(err, fault.Busy) && !fault.Is(err, fault.Unavailable) || lost == maxLost { // 4, 5
			return got, err
		}
		left = p.without(left, at, q.matter()) // 6
		refusal = sooner(refusal, err)
	}
	return reply{}, refusal // 7
}

// put sends m to one sidecar, and minds what became of it.
func (p *Pool) put(ctx context.Context, at int, m message) (reply, error) {
	got, err := p.members[at].client.once(ctx, m)
	answer, err := readReply(m, got, err)
	p.mind(at, err)
	return answer, err
}

// order returns who is asked about a matter, and what to say where nobody is
// left.
func (p *Pool) order(about matter) (left []int, nobody error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	why := "none of the inference sidecars is ready:"
	takers := p.takers(about)
	if takers != nil {
		why = "inference sidecars were lost over this picture, and are not back:"
	}
	for _, i := range rule.Order(about.content, p.cfg.Addresses) {
		switch m := p.members[i]; {
		case takers != nil && !slices.Contains(takers, i):
		case m.away == "":
			left = append(left, i)
		default:
			why += " " + m.away + ";"
		}
	}
	if len(left) > 0 {
		return left, nil
	}
	return nil, fault.New(fault.Unavailable, "sidecar.Pool", "%s", why[:len(why)-1]).After(p.cfg.MaxProbe)
}

// take picks who gets the pixels, and counts them; release is its end.
func (p *Pool) take(left []int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := rule.Taker(left, func(i int) int { return p.members[i].inFlight })
	p.members[at].inFlight++
	return at
}

func (p *Pool) release(at int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members[at].inFlight--
}

// sooner returns the refusal that leaves more hope: a busy one before one that
// is away, and of two busy ones the one with the shorter wait.
func sooner(a, b error) error {
	switch {
	case a == nil || fault.Is(b, fault.Busy) && !fault.Is(a, fault.Busy):
		return b
	case fault.Is(a, fault.Busy) && !fault.Is(b, fault.Busy):
		return a
	}
	if wait := fault.RetryAfter(b); wait > 0 && (wait < fault.RetryAfter(a) || fault.RetryAfter(a) == 0) {
		return b
	}
	return a
}
