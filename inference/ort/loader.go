package ort

// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdlib.h>
// #include <string.h>
//
// // open_library returns NULL and the loader's words, which the caller frees.
// static void *open_library(const char *path, char **why) {
//   void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
//   if (library == NULL) *why = strdup(dlerror());
//   return library;
// }
//
// // What is called of libcudart and TensorRT; NO_SYMBOL is none of its error codes.
// enum { NO_SYMBOL = -1 };
// static int cuda_number(void *library, const char *name, int *n) {
//   int (*f)(int *) = (int (*)(int *))dlsym(library, name);
//   return f == NULL ? NO_SYMBOL : f(n);
// }
// static int constant(void *library, const char *name) {
//   int (*f)(void) = (int (*)(void))dlsym(library, name);
//   return f == NULL ? NO_SYMBOL : f();
// }
// static int cuda_bus(void *library, char *out, int size, int device) {
//   int (*f)(char *, int, int) = (int (*)(char *, int, int))dlsym(library, "cudaDeviceGetPCIBusId");
//   return f == NULL ? NO_SYMBOL : f(out, size, device);
// }
// static int cuda_pinned(void *library, void **out, size_t bytes) {
//   const unsigned portable = 1; // for every card of the process
//   int (*f)(void **, size_t, unsigned) = (int (*)(void **, size_t, unsigned))dlsym(library, "cudaHostAlloc");
//   return f == NULL ? NO_SYMBOL : f(out, bytes, portable);
// }
// static const char *cuda_words(void *library, int code) {
//   const char *(*f)(int) = (const char *(*)(int))dlsym(library, "cudaGetErrorString");
//   return f == NULL ? "not a CUDA runtime" : f(code);
// }
import "C"

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unsafe"
)

// library is a shared library that stays open as long as the process.
type library struct{ handle unsafe.Pointer }

func openLibrary(path string) (library, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var why *C.char
	handle := C.open_library(name, &why)
	if handle == nil {
		defer C.free(unsafe.Pointer(why))
		return library{}, errors.New(C.GoString(why))
	}
	return library{handle}, nil
}

// constant calls a function that takes nothing and returns an int; -1: there is none.
func (l library) constant(function string) int {
	name := C.CString(function)
	defer C.free(unsafe.Pointer(name))
	return int(C.constant(l.handle, name))
}

// needs lists the libraries that the one at path is linked with.
func needs(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ImportedLibraries()
}

// preload opens what the library at path needs, and further ones that it will
// ask for later: those beside it, or else where the loader looks. A library that
// is open is found by its name, so nobody has to set LD_LIBRARY_PATH. It returns
// what it has opened and the names of what is not to be had.
func preload(path string, further ...string) (opened map[string]library, missing []string, err error) {
	names, err := needs(path)
	if err != nil {
		return nil, nil, err
	}
	opened = map[string]library{}
	// One may need another that is further down: until nothing more opens.
	for waiting := append(names, further...); len(waiting) > 0; {
		missing = nil
		for _, name := range waiting {
			l, err := openLibrary(filepath.Join(filepath.Dir(path), name))
			if err != nil {
				l, err = openLibrary(name)
			}
			if err != nil {
				missing = append(missing, name)
			} else {
				opened[name] = l
			}
		}
		if len(missing) == len(waiting) {
			return opened, missing, nil
		}
		waiting = missing
	}
	return opened, nil, nil
}

// cudart is an open CUDA runtime. Its functions are looked up by name, so that
// the program links with nothing of NVIDIA's.
type cudart struct{ library }

// number calls one of the functions that write one int.
func (c cudart) number(function string) (int, error) {
	name := C.CString(function)
	defer C.free(unsafe.Pointer(name))
	var n C.int
	code := C.cuda_number(c.handle, name, &n)
	return int(n), c.failed(function, code)
}

// bus is the PCI address of a card by CUDA's count, which is not the driver's
// where CUDA_VISIBLE_DEVICES is set.
func (c cudart) bus(index int) (string, error) {
	const size = 32
	out := (*C.char)(C.calloc(1, size))
	defer C.free(unsafe.Pointer(out))
	code := C.cuda_bus(c.handle, out, size, C.int(index))
	return C.GoString(out), c.failed("cudaDeviceGetPCIBusId", code)
}

// pinned allocates memory of the host that the card reads by itself. It lasts
// as long as the process.
func (c cudart) pinned(floats int) ([]float32, error) {
	var out unsafe.Pointer
	code := C.cuda_pinned(c.handle, &out, C.size_t(floats)*4)
	if err := c.failed("cudaHostAlloc", code); err != nil {
		return nil, err
	}
	return unsafe.Slice((*float32)(out), floats), nil
}

func (c cudart) failed(function string, code C.int) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("%s: CUDA error %d: %s", function, int(code), C.GoString(C.cuda_words(c.handle, code)))
}

// find returns the library of that name whatever its version, such as libcudart
// for libcudart.so.13.
func find(opened map[string]library, name string) (library, bool) {
	for n, l := range opened {
		if strings.HasPrefix(n, name+".so") {
			return l, true
		}
	}
	return library{}, false
}
