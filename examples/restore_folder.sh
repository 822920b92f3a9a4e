#!/bin/sh
# Restore a folder with files of several formats, one of them broken, and print a summary.
# A second call restores only what is left. The exit code is 8, because one file cannot be read.
set -u
cd "$(dirname "$0")"
out="${1:-restored}/folder"
mkdir -p "$out/in"
cp ct_phantom.dcm ct_phantom.nii.gz ct_phantom.tif "$out/in"
head -c 60000 ct_series/slice_02.dcm > "$out/in/broken.dcm"

rat restore "$out/in" --task ct-denoise --unit HU -o "$out/out" \
    --manifest "$out/run.json" --resume --json > "$out/results.jsonl"
code=$?

printf '\n%-24s %-8s %8s\n' input status seconds
python3 - "$out/results.jsonl" <<'END'
import json, sys
for line in open(sys.argv[1]):
    scan = json.loads(line)
    print(f"{scan['input']:24} {scan['status']:8} {scan.get('seconds', 0):8.1f}")
END
exit $code
