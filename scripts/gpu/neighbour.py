"""Called by scripts/gpu-check: another process that takes a card's memory.

    neighbour.py LIBCUDART WAIT SECONDS LEAVE_MB

Waits, takes all that is free but so many MB, holds it for some seconds, and ends.
"""
import ctypes
import sys
import time


def main():
    runtime = ctypes.CDLL(sys.argv[1])
    wait, seconds, leave = (int(a) for a in sys.argv[2:5])
    time.sleep(wait)
    free, total, memory = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
    runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    size = free.value - (leave << 20)
    failed = runtime.cudaMalloc(ctypes.byref(memory), ctypes.c_size_t(size))
    print(f"neighbour: {size >> 20} of {total.value >> 20} MB taken, error {failed}", file=sys.stderr, flush=True)
    time.sleep(seconds)


main()
