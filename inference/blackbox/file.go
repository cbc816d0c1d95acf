package blackbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// The file, little-endian:
//
//	16 bytes                magic and version
//	maxCrashes × 48 bytes   key, count (0: none), four zeros, Unix time in nanoseconds
//	slots × 4096 bytes      how many keys (0: the slot is free), the keys
//
// A slot's count is written with its keys, in one write; zero is written over it
// when they have come back.
const (
	magic      = "focal blackbox 1"
	maxCrashes = 256
	crashBytes = 48
	maxSlots   = 64 // runs and loads at the same time
	slotBytes  = 4096
	slotKeys   = (slotBytes - 4) / 32
	maxFile    = int64(len(magic)) + maxCrashes*crashBytes + maxSlots*slotBytes
)

func slotAt(i int) int64 { return int64(len(magic)) + maxCrashes*crashBytes + int64(i)*slotBytes }

// slotOf writes a slot.
func slotOf(keys []Key) []byte {
	data := binary.LittleEndian.AppendUint32(nil, uint32(len(keys)))
	for _, k := range keys {
		data = append(data, k[:]...)
	}
	return data
}

// header writes all before the slots.
func header(crashes []Crash) []byte {
	data := make([]byte, slotAt(0))
	copy(data, magic)
	for i, c := range crashes[:min(len(crashes), maxCrashes)] {
		at := data[len(magic)+i*crashBytes:]
		copy(at, c.Key[:])
		binary.LittleEndian.PutUint32(at[32:], uint32(c.Count))
		binary.LittleEndian.PutUint64(at[40:], uint64(c.Last.UnixNano()))
	}
	return data
}

// fresh writes a file in which all slots are free.
func fresh(crashes []Crash) []byte {
	return append(header(crashes), make([]byte, maxSlots*slotBytes)...)
}

// parse reads what a process left: the crashes before it that still count, and
// one more, now, for each key in a slot. An empty file is one that nobody has
// written yet.
func parse(data []byte, now time.Time) ([]Crash, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if !bytes.HasPrefix(data, []byte(magic)) {
		return nil, fmt.Errorf("a file of %d bytes that does not begin with %q", len(data), magic)
	}
	var crashes []Crash
	for i := range maxCrashes {
		at := len(magic) + i*crashBytes
		if at+crashBytes > len(data) {
			break
		}
		c := Crash{
			Key:   Key(data[at:]),
			Count: int(binary.LittleEndian.Uint32(data[at+32:])),
			Last:  time.Unix(0, int64(binary.LittleEndian.Uint64(data[at+40:]))),
		}
		// A time to come is damage, or a clock that was set back.
		if age := now.Sub(c.Last); c.Count > 0 && age >= 0 && age < Forget {
			crashes = append(crashes, c)
		}
	}
	for key := range inSlots(data) {
		at := slices.IndexFunc(crashes, func(c Crash) bool { return c.Key == key })
		if at < 0 {
			at = len(crashes)
			crashes = append(crashes, Crash{Key: key})
		}
		crashes[at].Count++
		crashes[at].Last = now
	}
	slices.SortStableFunc(crashes, func(a, b Crash) int { return b.Last.Compare(a.Last) })
	return crashes[:min(len(crashes), maxCrashes)], nil
}

// inSlots returns what was on the device; of a damaged slot nothing.
func inSlots(data []byte) map[Key]bool {
	found := map[Key]bool{}
	for i := 0; i < maxSlots && slotAt(i)+4 <= int64(len(data)); i++ {
		slot := data[slotAt(i):]
		n := binary.LittleEndian.Uint32(slot)
		if n > slotKeys || 4+32*int(n) > len(slot) {
			continue
		}
		for k := range int(n) {
			found[Key(slot[4+32*k:])] = true
		}
	}
	return found
}
