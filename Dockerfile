# focal on the CPU. Build it from the repository's root:
#
#   docker build -t focal .
#   docker run --rm -v focal:/var/lib/focal focal models pull
#   docker run --rm -p 8080:8080 -v focal:/var/lib/focal -v "$PWD/photos:/photos:ro" focal serve --root /photos
#
# The images it stands on are named by tag: pin them by digest where a build must
# be repeatable.
ARG GO_IMAGE=golang:1.26-bookworm
ARG RUN_IMAGE=debian:12-slim

FROM ${GO_IMAGE} AS build
WORKDIR /src
# What changes seldom comes first, so that editing the code costs one layer.
COPY scripts/ scripts/
COPY go.mod go.sum ./
RUN FOCAL_CUDA=off scripts/deps build && rm -rf /var/lib/apt/lists/*
RUN go mod download
COPY . .
ARG FOCAL_VERSION=dev
RUN scripts/build && scripts/runtime-packages bin/focal >bin/packages.txt

FROM ${RUN_IMAGE}
# The list names what bin/focal is linked with; ONNX Runtime asks for libstdc++,
# which is among it. ca-certificates is for https origins.
COPY --from=build /src/bin/packages.txt /tmp/packages.txt
RUN apt-get update \
 && xargs apt-get install -y --no-install-recommends ca-certificates </tmp/packages.txt \
 && rm -rf /var/lib/apt/lists/* /tmp/packages.txt \
 && useradd --system --uid 10001 --home-dir /var/lib/focal --create-home focal
COPY --from=build /src/.deps/lib/libonnxruntime.so /usr/local/lib/focal/libonnxruntime.so
COPY --from=build /src/bin/focal /usr/local/bin/focal
# The two lines of scripts/runtime.sh that a container needs, and where things are.
ENV OPENBLAS_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    FOCAL_ORT_LIBRARY=/usr/local/lib/focal/libonnxruntime.so \
    FOCAL_MODELS=/var/lib/focal/models
USER 10001
VOLUME /var/lib/focal
EXPOSE 8080
# The image has no curl: bash asks. It expects the default --listen.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["focal"]
CMD ["serve"]
