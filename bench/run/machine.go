package run

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"focal/bench/report"
)

// Machine says what this runs on. What the system does not tell is left empty.
func Machine(device string) report.Machine {
	m := report.Machine{OS: osName(), CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.GOMAXPROCS(0), Device: device, Yardstick: quietYardstick()}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = kib << 10
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		first, _, _ := strings.Cut(string(text), " ")
		m.Load, _ = strconv.ParseFloat(first, 64) // 0 where it is no number
	}
	return m
}

func osName() string {
	if name := strings.Trim(assigned("/etc/os-release", "PRETTY_NAME"), `"`); name != "" {
		return name
	}
	return runtime.GOOS
}

// field returns the value of the first line "name : value" of a file.
func field(path, name string) string { return valueOf(path, name, ":") }

// assigned returns the value of a line "name=value" of a file.
func assigned(path, name string) string { return valueOf(path, name, "=") }

func valueOf(path, name, separator string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), separator); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// yardstick is the time of a fixed piece of arithmetic on one core, in ms: a few
// turns of the system's scheduler long, so that it is kept waiting as a model is.
func yardstick() float64 {
	const size, rounds = 1 << 14, 1200
	values := make([]float32, size)
	for i := range values {
		values[i] = 1 + float32(i%7)
	}
	start := time.Now()
	for range rounds {
		for i, v := range values {
			values[i] = v*0.999 + 0.001
		}
	}
	return ms(time.Since(start))
}

// quietYardstick is the shortest of several, which waited least.
func quietYardstick() float64 {
	best := yardstick()
	for range 6 {
		best = min(best, yardstick())
	}
	return best
}

// resetPeak makes the kernel forget the most memory that was resident so far;
// where it does not, the peak is that of the whole process.
func resetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200)
}

// peak is the most memory that a process ("self" or its number) held resident,
// in bytes; 0 where it is not known.
func peak(process string) int64 {
	kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/"+process+"/status", "VmHWM"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
