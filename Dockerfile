# The server in a container: docs/serving.md. The model is mounted, or copied in
# by an image of your own; without one, the model that ships is served.
FROM python:3.12-slim

COPY . /dld
# setup.py says which releases. libsndfile is in soundfile's wheel; torch for the
# CPU, which counts as newer than the same release of PyPI, is a tenth of that.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir \
        --extra-index-url https://download.pytorch.org/whl/cpu '/dld[serve]' \
    && useradd --create-home --uid 1000 dld
USER 1000
WORKDIR /home/dld
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=120s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
# Set DLD_SERVE_TOKEN when it is started.
ENTRYPOINT ["dld", "serve", "--host", "0.0.0.0", "--port", "8000"]
