package host

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"focal/core/fault"
	"focal/inference"
	"focal/inference/profile"
	"focal/inference/sched"
	"focal/models"
)

// keeper carries what was measured of models over a restart.
type keeper struct {
	store    *profile.Store // nil: nothing is kept
	device   inference.Named
	provider string
	log      *slog.Logger
	kept     map[profile.Key]profile.Profile // as it was last written; of the goroutine that writes
}

// newKeeper returns nil where nothing is to be kept, or the engine cannot say
// what its measurements hold for.
func newKeeper(cfg Config, engine inference.Engine) *keeper {
	device, named := engine.(inference.Named)
	if cfg.Profiles == nil || !named {
		return nil
	}
	return &keeper{store: cfg.Profiles, device: device, provider: engine.Provider(), log: cfg.Log, kept: map[profile.Key]profile.Profile{}}
}

func (k *keeper) key(m models.Model) profile.Key {
	key := profile.Key{Model: m.File, Device: k.device.Device(), Runtime: k.device.Runtime()}
	var switches []string
	if m.Planned(k.provider) {
		switches = append(switches, "memory pattern")
	}
	for provider, options := range map[string]map[string]string{"cuda": m.Session.CUDA, "tensorrt": m.Session.TensorRT} {
		if len(options) > 0 {
			switches = append(switches, fmt.Sprint(provider, " ", options)) // fmt sorts them
		}
	}
	slices.Sort(switches)
	key.Session = strings.Join(switches, ", ")
	return key
}

// recall returns what was measured of m before; of a damaged file nothing.
func (k *keeper) recall(m models.Model) sched.Measured {
	if k == nil {
		return sched.Measured{}
	}
	p, err := k.store.Get(k.key(m))
	if err != nil {
		if !fault.Is(err, fault.NotFound) {
			k.log.Warn("profile cannot be read, measuring again", "model", m.Name, "err", err)
		}
		return sched.Measured{}
	}
	l := sched.Measured{LoadTime: p.LoadTime, Rest: p.Rest}
	for _, r := range p.Runs {
		l.Runs = append(l.Runs, sched.MeasuredRun{Canvas: sched.Canvas(r.Canvas), Batch: r.Batch, Time: r.Time, Memory: r.Memory, Runs: r.Runs})
	}
	return l
}

// keep writes those of profiles that have changed by more than a little.
func (k *keeper) keep(profiles []profile.Profile) error {
	for _, p := range profiles {
		if !differs(k.kept[p.Key], p) {
			continue
		}
		if err := k.store.Put(p); err != nil {
			return err
		}
		k.kept[p.Key] = p
	}
	return nil
}

// differs says whether new is worth writing over old: a number that was not
// known, or has moved by a tenth.
func differs(old, fresh profile.Profile) bool {
	moved := func(a, b int64) bool { return 10*max(a-b, b-a) > a }
	return moved(int64(old.LoadTime), int64(fresh.LoadTime)) || moved(old.Rest, fresh.Rest) ||
		!slices.EqualFunc(old.Runs, fresh.Runs, func(a, b profile.Run) bool {
			return a.Canvas == b.Canvas && a.Batch == b.Batch && !moved(int64(a.Time), int64(b.Time)) && !moved(a.Memory, b.Memory)
		})
}

// profiles returns what the scheduler has measured, by model.
func (l *loop) profiles(k *keeper) []profile.Profile {
	var all []profile.Profile
	for id, m := range l.known {
		measured := l.sched.Measured(id)
		if reflect.ValueOf(measured).IsZero() {
			continue
		}
		p := profile.Profile{Key: k.key(m), Name: m.Name, LoadTime: measured.LoadTime, Rest: measured.Rest}
		for _, r := range measured.Runs {
			p.Runs = append(p.Runs, profile.Run{Canvas: string(r.Canvas), Batch: r.Batch, Time: r.Time, Memory: r.Memory, Runs: r.Runs})
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b profile.Profile) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Profiles returns what is known of the models that have been used: what was
// measured before this start, and since. Nil without Config.Profiles.
func (h *Host) Profiles() []profile.Profile {
	if h.keeper == nil {
		return nil
	}
	reply := make(chan []profile.Profile, 1)
	if !h.loop.do(func(time.Time) { reply <- h.loop.profiles(h.keeper) }) {
		return nil
	}
	return <-reply
}

// keepProfiles writes down what was measured, now and then and at the end. If
// that does not work it is given up: everything but the next start goes on as
// well without.
func (h *Host) keepProfiles() {
	tick := time.NewTicker(h.cfg.KeepEvery)
	defer tick.Stop()
	for open := true; open; {
		var measured []profile.Profile
		select {
		case <-tick.C:
			measured = h.Profiles()
		case <-h.loop.ended: // and what it knew is nobody's now
			measured, open = h.loop.profiles(h.keeper), false
		}
		if err := h.keeper.keep(measured); err != nil {
			h.cfg.Log.Warn("profiles are not kept", "err", err)
			return
		}
	}
}
