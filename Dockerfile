# The demo and the XAB test in one image, for machines without a GPU (docs/hosting.md).
#
#   docker build -t pushpull .
#   docker run --rm -p 7860:7860 -v pushpull-data:/data pushpull

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /build
COPY constraints.txt requirements.txt ./
# torch first and from its own index: elsewhere Linux gets the builds for CUDA, several GB of them. What follows is
# content with the torch that is there.
RUN pip install --index-url https://download.pytorch.org/whl/cpu -c constraints.txt torch torchaudio
RUN pip install -c constraints.txt -r requirements.txt "psycopg[binary]>=3.1"

FROM python:3.12-slim-bookworm
# 1000 is what hosts such as Spaces run images as.
RUN useradd --create-home --uid 1000 pushpull && install -d -o pushpull -g pushpull /data
COPY --from=build /venv /venv
WORKDIR /app
COPY app.py LICENSE ./
COPY pushpull pushpull
COPY xab xab
COPY assets assets
COPY checkpoints checkpoints
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    PUSHPULL_XAB_DATA=/data/xab \
    XDG_CACHE_HOME=/data/cache
USER pushpull
EXPOSE 7860
VOLUME /data
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'] + '/healthz', timeout=8)"]
CMD ["python", "app.py"]
