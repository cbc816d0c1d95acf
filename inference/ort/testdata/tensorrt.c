// Stands in for TensorRT 10 and its parser where neither can be had, so that ONNX
// Runtime's real provider loads: it builds nothing, and has no plugins.
static int nothing(void *self, int *n) {
  (void)self;
  if (n) *n = 0;
  return 0;
}
static int (*const methods[64])(void *, int *) = {[0 ... 63] = nothing};
static const struct { int (*const *methods)(void *, int *); } registry = {methods};

int getInferLibVersion(void) { return 101401; }
const void *getPluginRegistry(void) { return &registry; }
void *createInferBuilder_INTERNAL(void *logger, int version) { (void)logger, (void)version; return 0; }
void *createInferRuntime_INTERNAL(void *logger, int version) { (void)logger, (void)version; return 0; }
void *createInferRefitter_INTERNAL(void *engine, void *logger, int version) { (void)engine, (void)logger, (void)version; return 0; }
void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) { (void)network, (void)logger, (void)version; return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int version) { (void)refitter, (void)logger, (void)version; return 0; }
