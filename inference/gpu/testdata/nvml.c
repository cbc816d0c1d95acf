// A driver's library with two cards, for tests where no card is: the numbers
// come from the environment. The names and layouts are those of nvml.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32]; } pci_info;
typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned pid; unsigned long long used; unsigned instance, compute; } process_info;

static unsigned long long number(const char *name) {
  const char *s = getenv(name);
  return s ? strtoull(s, NULL, 10) : 0;
}

int nvmlInit_v2(void) { return (int)number("NVML_INIT"); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int status) { return status == GPU_IS_LOST ? "GPU is lost" : "another error"; }
int nvmlSystemGetDriverVersion(char *out, unsigned n) { snprintf(out, n, "580.159.04"); return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) { *device = (void *)(long)(i + 1); return SUCCESS; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **device) {
  *device = (void *)(long)(strcmp(address, "00000000:0B:00.0") == 0 ? 2 : 1);
  return strstr(address, ":00.0") ? SUCCESS : NOT_FOUND;
}
int nvmlDeviceGetName(void *device, char *out, unsigned n) { snprintf(out, n, "Card %ld", (long)device); return SUCCESS; }
int nvmlDeviceGetPciInfo_v3(void *device, pci_info *p) {
  snprintf(p->address, sizeof p->address, "00000000:0%c:00.0", (long)device == 2 ? 'B' : 'A');
  return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_info *m) {
  m->total = (long)device * 1000000000ULL;
  m->free = number("NVML_FREE");
  m->used = m->total - m->free;
  return (int)number("NVML_MEMORY");
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *n, process_info *p) {
  (void)device;
  unsigned room = *n;
  *n = 2;
  if (room < 2) return INSUFFICIENT_SIZE;
  p[0] = (process_info){1, 5, 0, 0};
  p[1] = (process_info){getenv("NVML_STRANGER") ? 1 : (unsigned)getpid(), number("NVML_OURS"), 0, 0};
  return (int)number("NVML_PROCESSES");
}
