# The loop on any CPU: networks in ONNX Runtime, recordings, the web page. From the top of the checkout:
#
#   docker build -f tools/docker/cpu.Dockerfile -t stereo-rt .
#   docker run --rm -p 127.0.0.1:8080:8080 stereo-rt view synthetic://room --web 0.0.0.0:8080 --token a-long-secret
#   docker run --rm -v "$PWD:/data" stereo-rt process left.mp4,right.mp4 --calib rig.yaml -o depth
#
# A USB camera goes in with --device /dev/video0 --group-add video (the image's user is in no group of the host's).
# For training: --build-arg EXTRAS=web,video,mcap,bag,train
FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/stereo-rt
COPY . /source
ARG EXTRAS=web,video,mcap,bag
# By default an ARM machine is taken for a Jetson, which brings its own OpenCV; here there is none.
ENV STEREO_RT_OPENCV=opencv-python-headless
RUN /opt/stereo-rt/bin/pip install --no-cache-dir "/source[$EXTRAS]"

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/stereo-rt /opt/stereo-rt
# What is built or trained goes to /data, where the user's folder is mounted, and not into the container.
ENV PATH=/opt/stereo-rt/bin:$PATH STEREO_RT_HOME=/data/.stereo-rt
RUN mkdir /data && chown 1000:1000 /data
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["stereo-rt"]
CMD ["demo", "--headless", "--frames", "60"]
