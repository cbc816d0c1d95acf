//go:build real

package pipeline

import "testing"

// Two and a half minutes of one core.
func TestSamples_EveryFileThroughEverySet(t *testing.T) {
	for _, name := range sampleFiles(t) {
		trySample(t, name, optionSets)
	}
}
