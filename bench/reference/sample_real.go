//go:build real

package reference

const stride = 1
