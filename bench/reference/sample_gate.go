//go:build !real

package reference

// stride is how many pictures a test in the gate leaves for each that it looks
// at: a whole set takes minutes under the race detector. scripts/check-real looks
// at all.
const stride = 8
