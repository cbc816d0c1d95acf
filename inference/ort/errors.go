package ort

import (
	"errors"
	"strings"

	"focal/core/fault"
	"focal/inference"
)

// ONNX Runtime's status codes do not come through the binding, and say little:
// most are FAIL. Its words are read here and nowhere else.
var phrases = []struct {
	text string
	kind fault.Kind
}{
	{"Available memory of", fault.Busy}, // the arena's cap
	{"Failed to allocate memory", fault.Busy},
	{"std::bad_alloc", fault.Busy},
	{"CUDA failure 2:", fault.Busy},
	{"CUBLAS_STATUS_ALLOC_FAILED", fault.Busy},
	{"CUDNN_STATUS_ALLOC_FAILED", fault.Busy},
	{"CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", fault.Busy},
	{"not a registered function/op", fault.Unsupported},
	{"Unsupported model IR version", fault.Unsupported},
	{"is under development", fault.Unsupported}, // an opset from the future
	{"Could not find an implementation", fault.Unsupported},
	{"NOT_IMPLEMENTED", fault.Unsupported},
}

// lost are the numbers of CUDA errors after which nothing works in the process
// any more (cuda.h: illegal address, launch timeout, assert, hardware stack
// error, illegal instruction, misaligned address, address space, program counter,
// launch failure, memory and link errors, a device that has gone).
var lost = []string{"700", "702", "710", "714", "715", "716", "717", "718", "719", "214", "220", "226", "46", "101"}

func isLost(text string) bool {
	for _, number := range lost {
		if strings.Contains(text, "CUDA failure "+number+":") {
			return true
		}
	}
	return false
}

// words are what ONNX Runtime says, without where in its source it says so: its
// place ends with a code, as in "[ONNXRuntimeError] : 1 : FAIL : the words".
func words(err error) string {
	first, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if _, after, found := strings.Cut(first, "[ONNXRuntimeError] : "); found {
		first = after
	}
	return first
}

// classify gives an error of ONNX Runtime a kind, otherwise where no words are
// known, and cuts it at the end of its first line: the rest is a stack.
func classify(op string, otherwise fault.Kind, err error) error {
	text, kind := err.Error(), otherwise
	for _, w := range phrases {
		if strings.Contains(text, w.text) {
			kind = w.kind
			break
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if isLost(text) {
		return fault.New(fault.Unavailable, op, "%w: %s", inference.ErrDeviceLost, first)
	}
	if kind == fault.Busy {
		return fault.New(kind, op, "out of memory, which --memory-budget bounds: %s", first)
	}
	return fault.New(kind, op, "%w", errors.New(first))
}
