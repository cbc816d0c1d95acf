//go:build race

package sched

// walkEvents is smaller under the race detector, which makes the walk ten
// times as slow and has nothing to find in one goroutine.
const walkEvents = 75_000
