# The loop on an NVIDIA GPU: TensorRT engines, and torch for training. The host needs a driver for this CUDA and the
# NVIDIA container toolkit. From the top of the checkout:
#
#   docker build -f tools/docker/cuda.Dockerfile -t stereo-rt:cuda .
#   docker run --rm --gpus all -v "$PWD:/data" stereo-rt:cuda build student_s
#   docker run --rm --gpus all -v "$PWD:/data" stereo-rt:cuda bench --against sgbm
#
# A USB camera goes in with --device /dev/video0 --group-add video (the image's user is in no group of the host's).
# Engines are kept in /data/.stereo-rt, so they are built once. A Jetson's image is JetPack's own: see docs/jetson.md.
ARG CUDA=13.0.1
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build
# PyCUDA has no wheels: it is compiled against the toolkit of this stage, which the last one leaves behind.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/stereo-rt
COPY . /source
ARG EXTRAS=web,video,mcap,bag,train,tensorrt,telemetry
# By default an ARM machine is taken for a Jetson, which brings its own OpenCV; here there is none.
ENV STEREO_RT_OPENCV=opencv-python-headless
RUN /opt/stereo-rt/bin/pip install --no-cache-dir "/source[$EXTRAS]"

FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/stereo-rt /opt/stereo-rt
ENV PATH=/opt/stereo-rt/bin:$PATH STEREO_RT_HOME=/data/.stereo-rt NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN mkdir -p /data && chown 1000:1000 /data
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["stereo-rt"]
CMD ["doctor"]
