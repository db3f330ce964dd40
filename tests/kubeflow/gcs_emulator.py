"""Google's Cloud Storage on this machine, for test_walk_bucket.py.

    python3.11 -m venv EMULATOR
    EMULATOR/bin/pip install gcp-storage-emulator==2026.7.19 mitmproxy==11.0.2
    EMULATOR/bin/python tests/kubeflow/gcs_emulator.py --folder FOLDER &
    . FOLDER/environment        # is there once both listen, on loopback
    pytest tests/kubeflow/test_walk_bucket.py -k gcs

TensorFlow's client for gs:// is compiled in and knows one address, Google's,
with TLS. So mitmproxy stands between, with a certificate authority of its own
in FOLDER, and hands requests to the emulator: what is tested logs in with a
service account's key and sends what it would send to Google. Only processes
with that environment are led here, and the proxy knows no way out.
"""

import argparse
import asyncio
import json
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_storage_emulator import server as emulator
from mitmproxy import http
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

BUCKET = "create-test"
HOST = "127.0.0.1"
# Where Python and TensorFlow log in.
TOKENS = ("/token", "/oauth2/v3/token", "/oauth2/v4/token")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--port", type=int, default=9024, help="of the proxy")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    accept_empty_uploads()
    store = emulator.create_server(
        HOST, options.port + 1, in_memory=True, default_bucket=BUCKET
    )
    store.start()
    try:
        asyncio.run(proxy(options.folder.resolve(), options.port))
    finally:
        store.stop()


def accept_empty_uploads():
    """TensorFlow makes folders by empty objects; the emulator fails there."""
    read = emulator._read_data

    def read_data(handler, query):
        data = read(handler, query)
        if data is None and query.get("uploadType") == ["media"]:
            return b""
        return data

    emulator._read_data = read_data


async def proxy(folder, port):
    master = DumpMaster(
        Options(listen_host=HOST, listen_port=port, confdir=str(folder)),
        with_dumper=False,
    )
    master.options.update(
        connection_strategy="lazy",
        upstream_cert=False,
        # TensorFlow's client sends a length and "chunked", which Google takes.
        validate_inbound_headers=False,
    )
    master.addons.add(Google(folder, port))
    await master.run()


class Google:
    """Gives tokens, asks for them, and hands the rest to the emulator."""

    def __init__(self, folder, port):
        self.folder, self.port = folder, port
        self.token = secrets.token_hex()

    def running(self):
        """Writes what leads a process here, once the proxy listens."""
        (self.folder / "key.json").write_text(service_account_key())
        address = f"http://{HOST}:{self.port}"
        authority = self.folder / "mitmproxy-ca-cert.pem"
        values = {
            "CREATE_GCS_BUCKET": BUCKET,
            "GOOGLE_APPLICATION_CREDENTIALS": self.folder / "key.json",
            "HTTPS_PROXY": address,
            "https_proxy": address,
            "NO_PROXY": f"{HOST},localhost",
            "no_proxy": f"{HOST},localhost",
            "CURL_CA_BUNDLE": authority,  # TensorFlow
            "REQUESTS_CA_BUNDLE": authority,  # Beam
        }
        partial = self.folder / "environment.partial"
        partial.write_text(
            "".join(f"export {k}={v}\n" for k, v in values.items())
        )
        partial.rename(self.folder / "environment")

    def request(self, flow):
        request = flow.request
        url = urlsplit(request.pretty_url)
        if not (url.hostname or "").endswith(".googleapis.com"):
            flow.response = http.Response.make(403, f"no way to {url.netloc}")
        elif url.path in TOKENS:
            answer = {
                "access_token": self.token,
                "expires_in": 3600,
                "token_type": "Bearer",
            }
            flow.response = http.Response.make(
                200, json.dumps(answer), {"Content-Type": "application/json"}
            )
        elif request.headers.get("Authorization") != f"Bearer {self.token}":
            flow.response = http.Response.make(401, "the token is missing")
        else:
            # The emulator would keep the marks between chunks.
            if request.headers.pop("Transfer-Encoding", None):
                length = str(len(request.raw_content))
                request.headers["Content-Length"] = length
            flow.metadata["asked"] = f"https://{url.netloc}"
            request.scheme, request.host = "http", HOST
            request.port = self.port + 1

    def response(self, flow):
        """An upload goes on where its first answer says: here again."""
        location = flow.response.headers.get("Location", "")
        emulator_address = f"http://{HOST}:{self.port + 1}"
        if location.startswith(emulator_address):
            flow.response.headers["Location"] = location.replace(
                emulator_address, flow.metadata["asked"], 1
            )


def service_account_key():
    """A key file as Google hands it out, for nobody."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "create-test",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "pipeline@create-test.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
    )


if __name__ == "__main__":
    main()
