package ort

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// processor names the CPU as the system does, with its cores: what a run takes
// on one says nothing about another.
func processor() string {
	cores := fmt.Sprintf("%s, %d cores", runtime.GOARCH, runtime.NumCPU())
	f, err := os.Open("/proc/cpuinfo")
	if err != nil { // not Linux
		return cores
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, found := strings.Cut(lines.Text(), ":")
		if found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value) + ", " + cores
		}
	}
	return cores
}
