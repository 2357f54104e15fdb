"""What Beam's SDK container does before work begins: fetch the staged packages, install them, become the worker.

`python -m apache_beam.runners.worker.worker_pool_main` starts one per worker, in the working directory of the pool.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_artifact_api_pb2 as artifact
from apache_beam.portability.api import beam_artifact_api_pb2_grpc as artifact_grpc
from apache_beam.portability.api import beam_provision_api_pb2 as provision
from apache_beam.portability.api import beam_provision_api_pb2_grpc as provision_grpc
from apache_beam.portability.api import beam_runner_api_pb2 as runner
from google.protobuf import json_format

_WORKER = """
import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder)]
runpy.run_module("apache_beam.runners.worker.sdk_worker_main", run_name="__main__", alter_sys=True)
"""
"""A container has no editable install of the checkout, as the environment of the tests may have."""

_PIP = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag in ("--id", "--logging_endpoint", "--artifact_endpoint", "--provision_endpoint", "--control_endpoint"):
        parser.add_argument(flag, required=True)
    given = parser.parse_args()
    folder = Path(f"worker {given.id}").absolute()
    folder.mkdir()
    who = [("worker_id", given.id)]
    with grpc.insecure_channel(given.provision_endpoint) as channel:
        stub = provision_grpc.ProvisionServiceStub(channel)
        info = stub.GetProvisionInfo(provision.GetProvisionInfoRequest(), metadata=who).info
    with grpc.insecure_channel(given.artifact_endpoint) as channel:
        store = artifact_grpc.ArtifactRetrievalServiceStub(channel)
        asked = artifact.ResolveArtifactsRequest(artifacts=info.dependencies)
        for found in store.ResolveArtifacts(asked, metadata=who).replacements:
            name = Path(runner.ArtifactStagingToRolePayload.FromString(found.role_payload).staged_name).name
            chunks = store.GetArtifact(artifact.GetArtifactRequest(artifact=found), metadata=who)
            (folder / name).write_bytes(b"".join(chunk.data for chunk in chunks))
            if name.endswith(".tar.gz"):
                subprocess.run([sys.executable, *_PIP, "--target", folder / "site", folder / name], check=True)
    environment = os.environ | {
        "WORKER_ID": given.id,
        "PYTHONPATH": str(folder / "site"),
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{given.control_endpoint}"',
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{given.logging_endpoint}"',
    }
    os.execve(sys.executable, [sys.executable, "-c", _WORKER], environment)


if __name__ == "__main__":
    main()
