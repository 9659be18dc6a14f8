#!/bin/sh
# Called by Snakemake with the script of a job: fills in job.yaml, sends it, and prints the name of the Job.
# With EVERCAST_RENDER=FOLDER the Job is written there and not sent.
set -eu
script=$1
here=$(cd "$(dirname "$0")" && pwd)

python3 -I - "$script" "$here/job.yaml" <<'PYTHON' >"$script.yaml"
"""Fill the template of a Job with what Snakemake says of a job in the second line of its script."""
import hashlib
import json
import math
import os
import re
import sys

script, template = sys.argv[1:]
with open(script) as stream:
    said = json.loads(re.search(r"^# properties = (.*)$", stream.read(), re.MULTILINE)[1])
asked = said["resources"]
place = f"{os.path.abspath(script)}\0{os.getcwd()}"
rule = re.sub(r"[^a-z0-9-]", "-", str(said.get("rule") or said.get("groupid") or "group").lower())[:30].strip("-")
words = {
    "NAME": f"evercast-{rule}-{hashlib.sha256(place.encode()).hexdigest()[:16]}",
    "RULE": rule,
    "SCRIPT": os.path.abspath(script),
    "FOLDER": os.getcwd(),
    "CORES": int(said.get("threads") or asked.get("_cores") or 1),
    "MEMORY": math.ceil(asked.get("mem_mb", 1000)),
    "DISK": math.ceil(asked.get("disk_mb", 1000)),
    "GPUS": int(asked.get("gpu", 0)),
    "SECONDS": 60 * math.ceil(asked.get("runtime", 30)),
}
for name in ("SCRIPT", "FOLDER"):
    if not re.fullmatch(r"[A-Za-z0-9._/+=-]+", words[name]):
        sys.exit(f"submit.sh: {words[name]!r} has characters that a Job cannot carry; run in a folder without them")
with open(template) as stream:
    text = stream.read()
print(re.sub(r"@([A-Z]+)@", lambda word: str(words[word[1]]), "\n".join(
    line for line in text.splitlines() if not line.lstrip().startswith("#"))))
PYTHON

name=$(sed -n 's/^  name: "\(.*\)"$/\1/p' "$script.yaml")
if [ -n "${EVERCAST_RENDER:-}" ]; then
  mkdir -p "$EVERCAST_RENDER"
  cp "$script.yaml" "$EVERCAST_RENDER/$name.yaml"
else
  kubectl create -f "$script.yaml" >&2
fi
echo "$name"
