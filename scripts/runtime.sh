# shellcheck shell=bash
# Sourced before bin/focal is started: what C libraries read from the
# environment while they load, when it is too late for focal to set it.

# OpenCV brings OpenBLAS, which would start threads of its own.
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
# ONNX Runtime reports home unless it is told not to before it loads.
export ORT_DISABLE_TELEMETRY=1

# The models in the neighbour folder ../shared, where there is one.
if [ -z "${FOCAL_MODEL_MIRROR:-}" ] && [ -d "${root:?}/../shared/models" ]; then
  FOCAL_MODEL_MIRROR=$(cd "$root/../shared/models" && pwd)
  export FOCAL_MODEL_MIRROR
fi

# The CUDA build of ONNX Runtime is a set of its own; its provider asks the
# loader for NVIDIA's libraries, which lie beside it.
if [ -z "${FOCAL_ORT_LIBRARY:-}" ] && [ -f "${deps_dir:?}/lib/cuda/.complete" ] && cuda_wanted; then
  export FOCAL_ORT_LIBRARY=$deps_dir/lib/cuda/libonnxruntime.so
  export LD_LIBRARY_PATH=$deps_dir/lib/cuda${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
