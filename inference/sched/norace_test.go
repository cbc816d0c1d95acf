//go:build !race

package sched

// walkEvents is how many random events the long walk is made of.
const walkEvents = 1_500_000
